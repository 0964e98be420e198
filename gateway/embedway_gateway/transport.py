"""Carries calls over aiohttp, which knows proxies."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from types import SimpleNamespace

import aiohttp
from yarl import URL

from embedway_gateway.wire.broken import Broken
from embedway_gateway.wire.dial import CONNECT_SECONDS
from embedway_gateway.wire.transport import MAX_REPLY_BYTES
from embedway_gateway.wire.trouble import unreachable
from embedway_upstream import BadReply, HTTPCall, HTTPReply, UpstreamUnreachable
from embedway_upstream.flow import Flow, HTTPFlow
from embedway_upstream.proxy import NAMED, require_http

__all__ = ["AiohttpTransport"]

# From here on aiohttp warns that bytes in one piece would hold the event loop.
_LARGE_BODY = 1024 * 1024


@dataclass(slots=True)
class _Way:
    """Over which connection a call went."""

    reused: bool = False


class AiohttpTransport:
    """
    Does what `WireTransport` does, at four times its price, and through the proxy that `proxy_of`
    gives for an upstream's address.
    """

    def __init__(
        self,
        *,
        max_reply_bytes: int = MAX_REPLY_BYTES,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        proxy_of: Callable[[str], str | None] = lambda _url: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_reply_bytes = max_reply_bytes
        self._tls = tls
        self._proxy_of = proxy_of
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def send(self, call: HTTPCall) -> HTTPReply:
        """One exchange."""
        way, begun = _Way(), self._clock()
        try:
            return await self._exchange(call, way)
        except Broken as error:
            if not (way.reused and error.was_idle(self._clock() - begun)):
                raise
        return await self._exchange(call, _Way())

    async def open(self, call: HTTPCall) -> HTTPFlow:
        """One exchange, of which the body is still to come."""
        with _translated():
            response = await self._request(call, _Way())
        flow = Flow(_pieces(response), close=response.close)
        return HTTPFlow(response.status, _lower(response), flow)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def _exchange(self, call: HTTPCall, way: _Way) -> HTTPReply:
        with _translated():
            response = await self._request(call, way)
        with _translated(begun=True):
            async with response:
                body = await self._read(response)
                return HTTPReply(response.status, _lower(response), body)

    async def _request(self, call: HTTPCall, way: _Way) -> aiohttp.ClientResponse:
        proxy = self._proxy_of(call.url)
        require_http(proxy)
        return await self._open().request(
            call.method,
            # As it was signed: aiohttp would quote an odd path once more.
            URL(call.url, encoded=True),
            headers=call.headers,
            data=_data(call.body),
            allow_redirects=False,
            proxy=proxy,
            trace_request_ctx=way,
        )

    def _open(self) -> aiohttp.ClientSession:
        # Made on first use, because it belongs to the running event loop.
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=self._tls()),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"accept-encoding": "identity", "user-agent": "embedway"},
                trace_configs=[_trace()],
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


async def _pieces(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    with _translated(begun=True):
        async for piece in response.content.iter_any():
            yield piece


def _lower(response: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _trace() -> aiohttp.TraceConfig:
    """By which aiohttp tells that a connection had been used before."""

    async def reused(
        _session: aiohttp.ClientSession,
        context: SimpleNamespace,
        _params: aiohttp.TraceConnectionReuseconnParams,
    ) -> None:
        context.trace_request_ctx.reused = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(reused)
    return trace


@contextmanager
def _translated(*, begun: bool = False) -> Iterator[None]:
    """Raises ours. `begun`: the head of the reply was there."""
    try:
        yield
    except aiohttp.ClientProxyConnectionError as error:
        raise UpstreamUnreachable(
            f"{NAMED} cannot be reached; correct it, or name the upstream's host in NO_PROXY",
            detail=type(error).__name__,
        ) from error
    except aiohttp.ClientHttpProxyError as error:
        raise UpstreamUnreachable(
            f"{NAMED} does not let the call through (status {error.status}); see that it allows "
            "the upstream's host, and that user and password stand before its host",
            detail=type(error).__name__,
        ) from error
    except aiohttp.ClientConnectorCertificateError as error:
        raise unreachable(error.certificate_error) from error
    except aiohttp.ClientConnectorError as error:
        raise unreachable(error.os_error) from error
    except aiohttp.ConnectionTimeoutError as error:
        raise unreachable(error) from error
    except aiohttp.ClientConnectionError as error:
        raise Broken(error, untouched=not begun and _is_untouched(error)) from error
    except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError) as error:
        raise Broken(error, untouched=False) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise UpstreamUnreachable(
            "the connection to the upstream broke", detail=type(error).__name__
        ) from error


def _is_untouched(error: aiohttp.ClientConnectionError) -> bool:
    """What had come of a head is the message of the error; of a reset, it is not told."""
    return not isinstance(error, aiohttp.ServerDisconnectedError) or isinstance(error.message, str)


def _data(body: bytes) -> bytes | BytesIO:
    """Of a large body, what is sent in pieces."""
    return BytesIO(body) if len(body) > _LARGE_BODY else body
