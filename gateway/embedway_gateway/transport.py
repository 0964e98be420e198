"""Carries calls over aiohttp: the cheapest well-kept client that was measured."""

from __future__ import annotations

import aiohttp
from yarl import URL

from embedway_upstream import BadReply, HTTPCall, HTTPReply, UpstreamUnreachable

__all__ = ["AiohttpTransport"]

# 2,048 vectors of 4,096 dimensions as 17-digit floats are 170 MB; nothing we read is larger.
_MAX_REPLY_BYTES = 192 * 1024 * 1024
_CONNECT_SECONDS = 5.0


class AiohttpTransport:
    """
    Keeps connections open, follows no redirects, and bounds replies while reading them.

    How long a whole call may take is the `Timeout` layer's business; only connecting is bounded
    here, so that a dead address is noticed early.
    """

    def __init__(self, *, max_reply_bytes: int = _MAX_REPLY_BYTES) -> None:
        self._max_reply_bytes = max_reply_bytes
        self._session: aiohttp.ClientSession | None = None

    async def send(self, call: HTTPCall) -> HTTPReply:
        """One exchange."""
        session = self._open()
        try:
            async with session.request(
                call.method,
                # As it was signed: aiohttp would quote an odd path once more.
                URL(call.url, encoded=True),
                headers=call.headers,
                data=call.body,
                allow_redirects=False,
            ) as response:
                body = await self._read(response)
                headers = {name.lower(): value for name, value in response.headers.items()}
                return HTTPReply(response.status, headers, body)
        except aiohttp.ClientConnectorError as error:
            raise UpstreamUnreachable(
                "the upstream cannot be reached", detail=type(error).__name__
            ) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UpstreamUnreachable(
                "the connection to the upstream broke", detail=type(error).__name__
            ) from error

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        # Made on first use, because it belongs to the running event loop.
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"accept-encoding": "identity", "user-agent": "embedway"},
            )
        return self._session

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > self._max_reply_bytes:
                response.close()
                raise BadReply(f"the upstream's reply is over {self._max_reply_bytes} bytes")
            chunks.append(chunk)
        return b"".join(chunks)
