"""One HTTP exchange over an httpx client: bounded while reading, errors translated."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from embedway_client.address import origin
from embedway_upstream import BadReply, HTTPCall, HTTPReply, UpstreamTimeout, UpstreamUnreachable

if TYPE_CHECKING:
    import httpx

__all__ = ["exchange", "exchange_async"]

# 2,048 vectors of 4,096 dimensions as 17-digit floats are 170 MB; nothing we ask for is larger.
_MAX_REPLY_BYTES = 192 * 1024 * 1024
_CONNECT_SECONDS = 5.0


class _Body:
    """Collects a reply that is neither too large nor too slow."""

    def __init__(self, seconds: float, most: int) -> None:
        self._chunks: list[bytes] = []
        self._size = 0
        self._most = most
        self._end = time.monotonic() + seconds

    def add(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._most:
            raise BadReply(f"the server's reply is over {self._most} bytes")
        # httpx bounds the wait for each piece; a server that drips would still hold us for ever.
        if time.monotonic() > self._end:
            raise UpstreamTimeout("the server did not finish its reply in time")
        self._chunks.append(chunk)

    def whole(self) -> bytes:
        return b"".join(self._chunks)


def exchange(
    client: httpx.Client,
    call: HTTPCall,
    *,
    headers: Mapping[str, str],
    seconds: float,
    most: int = _MAX_REPLY_BYTES,
) -> HTTPReply:
    """
    Send, and read the whole reply. Redirects are not followed.

    `headers` are added under the call's own. Raises `UpstreamUnreachable` when no connection
    came about or it broke, `UpstreamTimeout` when the reply took over `seconds`, `BadReply` when
    it has over `most` bytes.
    """
    with _translated(call.url, seconds):
        request = client.build_request(
            call.method,
            call.url,
            headers={**headers, **call.headers},
            content=call.body,
            timeout=_timeout(seconds),
        )
        response = client.send(request, stream=True, follow_redirects=False)
        try:
            body = _Body(seconds, most)
            for chunk in response.iter_bytes():
                body.add(chunk)
        finally:
            response.close()
    return HTTPReply(response.status_code, _names(response), body.whole())


async def exchange_async(
    client: httpx.AsyncClient,
    call: HTTPCall,
    *,
    headers: Mapping[str, str],
    seconds: float,
    most: int = _MAX_REPLY_BYTES,
) -> HTTPReply:
    """Like `exchange`, on the running event loop."""
    with _translated(call.url, seconds):
        request = client.build_request(
            call.method,
            call.url,
            headers={**headers, **call.headers},
            content=call.body,
            timeout=_timeout(seconds),
        )
        response = await client.send(request, stream=True, follow_redirects=False)
        try:
            body = _Body(seconds, most)
            async for chunk in response.aiter_bytes():
                body.add(chunk)
        finally:
            await response.aclose()
    return HTTPReply(response.status_code, _names(response), body.whole())


def _names(response: httpx.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _timeout(seconds: float) -> httpx.Timeout:
    import httpx

    # Waiting for a connection of our own is not the server's slowness: `pool` is not bounded.
    return httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS), pool=None)


@contextmanager
def _translated(url: str, seconds: float) -> Iterator[None]:
    import httpx

    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise UpstreamUnreachable(
            f"cannot connect to {origin(url)} ({_reason(error)}); is the server running?"
        ) from error
    except httpx.TimeoutException as error:
        raise UpstreamTimeout(f"{origin(url)} did not answer within {seconds:g} s") from error
    except httpx.DecodingError as error:
        raise BadReply("the server's reply cannot be decompressed") from error
    except httpx.TransportError as error:
        raise UpstreamUnreachable(
            f"the connection to {origin(url)} broke ({_reason(error)})"
        ) from error


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
