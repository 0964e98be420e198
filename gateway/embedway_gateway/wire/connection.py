"""One connection to an upstream, which carries one exchange at a time."""

from __future__ import annotations

import asyncio
import select
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import cast

from embedway_gateway.wire.broken import Broken
from embedway_gateway.wire.reply import Reply

__all__ = ["Connection"]

# Up to here one copy is cheaper than a second system call.
_SMALL = 64 * 1024


class Connection(asyncio.Protocol):
    """
    `begin` writes a request and gives its reply. When that was read, `release` tells whether
    another exchange may follow; otherwise, and whenever the reader gives up, it must be aborted.
    """

    def __init__(self, raw: socket.socket) -> None:
        self._stirs = _watch(raw)
        self._transport: asyncio.Transport | None = None
        self._reply: Reply | None = None
        self.closed = False
        self.on_lost: Callable[[Connection], None] | None = None
        self.idle_since = 0.0

    def begin(self, method: str, head: bytes, body: bytes, *, most: int | None) -> Reply:
        """Write a whole request; `most` bounds the content, None is for one read in pieces."""
        transport = self._transport
        assert transport is not None
        reply = self._reply = Reply(transport, method, most=most)
        if len(body) < _SMALL:
            transport.write(head + body)
        else:
            transport.writelines((head, body))
        return reply

    def release(self) -> bool:
        """Whether the exchange ended as it should, so that another may follow."""
        reply, transport = self._reply, self._transport
        if self.closed or reply is None or transport is None or not reply.lasting:
            return False
        if transport.get_write_buffer_size():
            # It was answered before it was sent.
            return False
        self._reply = None
        return True

    def is_quiet(self) -> bool:
        """Whether an idle one is open and silent, by what the system knows and we may not yet."""
        return not self.closed and not self._stirs()

    def abort(self) -> None:
        """Close without ceremony."""
        self.closed = True
        if self._reply is not None:
            self._reply.fail(Broken(untouched=False))
        if self._transport is not None:
            self._transport.abort()

    # -- what the event loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._reply is None or not self._reply.feed(data):
            self.abort()

    def eof_received(self) -> None:
        # At once, though the rest of a large request may still wait to be sent.
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)
        self._transport = None
        if self.on_lost is not None:
            self.on_lost(self)

    def _end(self, cause: Exception | None) -> None:
        self.closed = True
        if self._reply is not None:
            self._reply.end(cause)


def _watch(raw: socket.socket) -> Callable[[], object]:
    """What tells at once whether there is anything to read, be it the end."""
    if sys.platform == "win32":
        return lambda: select.select([raw], [], [], 0)[0]
    poll = select.poll()
    poll.register(raw, select.POLLIN)
    return partial(poll.poll, 0)
