"""Carries calls over connections of our own."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable

from embedway_gateway.wire.address import Origin, head_of, place_of
from embedway_gateway.wire.broken import Broken
from embedway_gateway.wire.connection import Connection
from embedway_gateway.wire.dial import Dial
from embedway_gateway.wire.pool import Pool
from embedway_gateway.wire.reply import Reply
from embedway_upstream import BadReply, HTTPCall, HTTPReply, UpstreamUnreachable
from embedway_upstream.flow import Flow, HTTPFlow

__all__ = ["MAX_REPLY_BYTES", "WireTransport"]

# 2,048 vectors of 4,096 dimensions as 17-digit floats are 170 MB; nothing we read is larger.
MAX_REPLY_BYTES = 192 * 1024 * 1024


class WireTransport:
    """
    Keeps connections open, follows no redirects, and bounds replies while reading them. Only
    connecting is bounded in time here, so that a dead address is noticed early: the rest is the
    `Timeout` layer's business, and whoever gives up closes the connection.

    A connection that had been idle may be closed by its server in the very moment of a call; if no
    byte of an answer came, and it broke within a round trip, the call is sent once more on a new
    one. To embed a text twice is to embed it; a stream is not begun twice.
    """

    def __init__(
        self,
        *,
        max_reply_bytes: int = MAX_REPLY_BYTES,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = max_reply_bytes
        self._clock = clock
        self._pool = Pool(Dial(tls))

    async def send(self, call: HTTPCall) -> HTTPReply:
        """One exchange."""
        origin, head = _written(call)
        connection = self._pool.take(origin)
        if connection is not None:
            begun = self._clock()
            try:
                return await self._exchange(origin, connection, call, head)
            except Broken as error:
                if not error.was_idle(self._clock() - begun):
                    raise
        connection = await self._pool.connect(origin)
        return await self._exchange(origin, connection, call, head)

    async def open(self, call: HTTPCall) -> HTTPFlow:
        """One exchange, of which the body is still to come."""
        origin, head = _written(call)
        connection = self._pool.take(origin) or await self._pool.connect(origin)
        try:
            reply = connection.begin(call.method, head, call.body, most=None)
            await reply.head()
            _require_plain(reply)
        except BaseException:
            connection.abort()
            raise
        flow = Flow(reply, close=lambda: self._pool.give(origin, connection))
        return HTTPFlow(reply.status, reply.headers, flow)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    async def _exchange(
        self, origin: Origin, connection: Connection, call: HTTPCall, head: bytes
    ) -> HTTPReply:
        try:
            reply = connection.begin(call.method, head, call.body, most=self._most)
            await reply.head()
            _require_plain(reply)
            content = await reply.content()
        except BaseException:
            connection.abort()
            raise
        self._pool.give(origin, connection)
        return HTTPReply(reply.status, reply.headers, content)


def _require_plain(reply: Reply) -> None:
    """Of a failure the status tells enough."""
    coding = reply.headers.get("content-encoding", "identity")
    if coding.strip().lower() not in {"", "identity"} and reply.status < 300:
        raise BadReply(
            "the upstream's reply is compressed, though that was not asked for; let the server, or "
            "what stands before it, answer without content-encoding"
        )


def _written(call: HTTPCall) -> tuple[Origin, bytes]:
    try:
        origin, target, host = place_of(call.url)
        return origin, head_of(call.method, target, host, call.headers, len(call.body))
    except ValueError as error:
        raise UpstreamUnreachable(f"the upstream cannot be called: {error}") from None
