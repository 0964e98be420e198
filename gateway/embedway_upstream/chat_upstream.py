"""A deployment that is asked to chat over HTTP, its answer passed on while it comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from embedway_upstream.call import HTTPReply
from embedway_upstream.chat import ChatReply, ChatRequest
from embedway_upstream.credentials.renewal import Renewal
from embedway_upstream.engines.form import UNREADABLE
from embedway_upstream.error import BadReply, EmbeddingError, UpstreamTimeout
from embedway_upstream.flow import Flow
from embedway_upstream.upstream import timed_out

if TYPE_CHECKING:
    from embedway_upstream.chat_endpoint import ChatEndpoint
    from embedway_upstream.flow import HTTPFlow, StreamTransport

__all__ = ["ChatUpstream"]

# Far beyond what a model says at once, log probabilities included.
_MAX_REPLY_BYTES = 64 * 1024 * 1024
_MAX_ERROR_BYTES = 1024 * 1024

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class ChatUpstream:
    """
    One attempt. Credentials are kept fresh, and a 401 answered, as `Upstream` does it.

    A stream is returned with its first piece, so that whatever fails before may be tried again; a
    reply that is no stream is read whole, for the same reason. A stream that stands still for
    `idle` seconds has failed.
    """

    def __init__(
        self,
        endpoint: ChatEndpoint,
        transport: StreamTransport,
        *,
        idle: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoint = endpoint
        self._transport = transport
        self._idle = idle
        self._clock = clock
        self._renewal = Renewal(endpoint.endpoint.credentials, clock=clock)

    async def send(self, request: ChatRequest) -> ChatReply:
        """Call the deployment. Raises an `EmbeddingError` that names it."""
        name = self._endpoint.endpoint.name
        try:
            await self._renewal.ready()
            seen, begun = self._renewal.forced, self._clock()
            answer = await self._transport.open(self._endpoint.call(request))
            if answer.status == 401 and await self._renewed(answer, seen):
                begun = self._clock()
                answer = await self._transport.open(self._endpoint.call(request))
                self._renewal.rest.after(answer.status)
            return ChatReply(await self._taken(answer, request, begun), served_by=name)
        except EmbeddingError as error:
            error.upstream = name
            raise

    async def _renewed(self, answer: HTTPFlow, seen: int) -> bool:
        try:
            renewed = await self._renewal.renew(seen)
        except BaseException:
            answer.body.close()
            raise
        if renewed:
            answer.body.close()
        return renewed

    async def _taken(self, answer: HTTPFlow, request: ChatRequest, begun: float) -> Flow:
        try:
            if answer.status != 200:
                body = await answer.body.read(_MAX_ERROR_BYTES)
                took = self._clock() - begun
                with timed_out(self._endpoint.endpoint.platform, took):
                    self._endpoint.refuse(HTTPReply(answer.status, answer.headers, body), request)
            if request.stream:
                return await _begun(answer.body, self._idle)
            return _single(await answer.body.read(_MAX_REPLY_BYTES))
        except BaseException:
            answer.body.close()
            raise


async def _begun(body: Flow, idle: float | None) -> Flow:
    """The same flow, of which the first piece is here and looks like server-sent events."""
    first = b""
    async for piece in body:
        first += piece
        if first.strip():
            break
    if not first.strip():
        raise BadReply("the upstream's stream ended before it began")
    if first.lstrip()[:1] in {b"{", b"[", b"<"}:
        # A platform may name another content type; what counts is what comes.
        raise BadReply("a stream was asked for, and the upstream did not stream")

    async def whole() -> AsyncIterator[bytes]:
        yield first
        with suppress(StopAsyncIteration):
            while True:
                yield await _next(body, idle)

    return Flow(whole(), close=body.close)


async def _next(body: Flow, idle: float | None) -> bytes:
    try:
        async with asyncio.timeout(idle):
            return await anext(body)
    except TimeoutError:
        raise UpstreamTimeout("the upstream's stream stood still") from None


def _single(body: bytes) -> Flow:
    try:
        _decode(body)
    except UNREADABLE as error:
        raise BadReply("the upstream's reply is not JSON", detail=type(error).__name__) from None

    async def whole() -> AsyncIterator[bytes]:
        yield body

    return Flow(whole())
