"""Connections that stay open between exchanges."""

from __future__ import annotations

import asyncio

from embedway_gateway.wire.address import Origin
from embedway_gateway.wire.connection import Connection
from embedway_gateway.wire.dial import Dial
from embedway_upstream import UpstreamUnreachable

__all__ = ["Pool"]

# Shorter than servers and load balancers usually wait (60 s; those that wait less, as uvicorn
# with 5 s, tell us by closing): one that may be gone is not worth the risk.
_IDLE_SECONDS = 50.0


class Pool:
    """
    Gives connections away and takes them back; of those of an origin, the latest first. Each is
    aborted by whoever has it, or given back. Belongs to the event loop in which it is used first.
    """

    def __init__(self, dial: Dial, *, idle_seconds: float = _IDLE_SECONDS) -> None:
        self._dial = dial
        self._idle_seconds = idle_seconds
        self._idle: dict[Origin, list[Connection]] = {}
        self._open: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._emptied = asyncio.Event()
        self._closed = False

    def take(self, origin: Origin) -> Connection | None:
        """One that is open and idle, if there is any."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.is_quiet():
                return connection
            connection.abort()
        return None

    def give(self, origin: Origin, connection: Connection) -> None:
        """Take back what may carry another exchange; close what may not."""
        if self._closed or not connection.release():
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.setdefault(origin, []).append(connection)
        if self._timer is None:
            self._timer = loop.call_later(self._idle_seconds, self._sweep)

    async def connect(self, origin: Origin) -> Connection:
        """A new one. Raises `UpstreamUnreachable` that says what stands in the way."""
        connection = await self._dial.connect(origin)
        if self._closed or connection.closed:
            connection.abort()
            raise UpstreamUnreachable("the connection to the upstream broke", detail="closed")
        connection.on_lost = lambda lost: self._lose(origin, lost)
        self._open.add(connection)
        return connection

    async def close(self) -> None:
        """Close all, those that are in use too; no more are made."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self._open):
            connection.abort()
        while self._open:
            self._emptied.clear()
            await self._emptied.wait()

    def _lose(self, origin: Origin, connection: Connection) -> None:
        self._open.discard(connection)
        idle = self._idle.get(origin, [])
        if connection in idle:
            idle.remove(connection)
        if not self._open:
            self._emptied.set()

    def _sweep(self) -> None:
        """Close what was idle for too long, and look again when the next will have been."""
        loop = asyncio.get_running_loop()
        next_look = None
        for origin, idle in list(self._idle.items()):
            # The oldest are first.
            while idle and loop.time() - idle[0].idle_since >= self._idle_seconds:
                idle.pop(0).abort()
            if idle:
                oldest = idle[0].idle_since
                next_look = oldest if next_look is None else min(next_look, oldest)
            else:
                del self._idle[origin]
        self._timer = None
        if next_look is not None:
            self._timer = loop.call_at(next_look + self._idle_seconds, self._sweep)
