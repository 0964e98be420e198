"""Whether a client goes on reading what was written to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from embedway_gateway.web.queued import queued

__all__ = ["Taking"]

# How soon it is seen that all was taken.
_GLANCE = 1.0


class Taking:
    """
    Of one connection. Once required, something must be taken every so many `seconds`, or the
    connection is aborted; `taken` is called when nothing is left.
    """

    __slots__ = ("_left", "_loop", "_seconds", "_since", "_taken", "_timer", "_transport")

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        seconds: float,
        *,
        taken: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._seconds = seconds
        self._taken = taken
        self._timer: asyncio.TimerHandle | None = None
        self._left = 0
        self._since = 0.0

    def require(self) -> None:
        """From now on, until all is taken."""
        self.stop()
        self._left, self._since = self._untaken(), self._loop.time()
        self._look_again()

    def stop(self) -> None:
        """Require it no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_again(self) -> None:
        self._timer = self._loop.call_later(min(_GLANCE, self._seconds), self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._transport.get_write_buffer_size():
            self._taken()
            return
        left, now = self._untaken(), self._loop.time()
        if left < self._left:
            self._left, self._since = left, now
        elif now - self._since >= self._seconds:
            self._transport.abort()
            return
        self._look_again()

    def _untaken(self) -> int:
        """
        Bytes that wait for the client. The system holds megabytes of them, and asks for more only
        when a third of those are gone: of a slow reader ours alone would stand still for minutes.
        """
        connection: Any = self._transport.get_extra_info("socket")
        return self._transport.get_write_buffer_size() + queued(connection)
