"""Keeps the last free slot for a fuller call, for a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Linger"]

# Of what a call takes, and at most in seconds.
_SHARE = 0.25
_LONGEST = 0.005
# How much the latest call counts in what a call takes.
_NEWEST = 0.1


class Linger:
    """
    Answers come for many callers at once, and so do their next requests: whose text comes first
    would take the last slot alone. Where slots follow what the upstream serves, a call in the last
    of them only waits there for others, so that to wait here for more texts costs nothing.

    `go` is called when the moment is over. While no call runs, nobody lingers.
    """

    def __init__(self, go: Callable[[], None]) -> None:
        self._go = go
        self._took = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def note(self, seconds: float) -> None:
        """Learn what a call takes."""
        self._took += (seconds - self._took) * (_NEWEST if self._took else 1.0)

    def concerns(self, running: int, slots: int) -> bool:
        """Whether the next call would be in the last of several slots."""
        return 0 < running == slots - 1 and self._took > 0

    def begin(self) -> None:
        """Linger from now on, unless that has begun."""
        if self._timer is None:
            seconds = min(self._took * _SHARE, _LONGEST)
            self._timer = asyncio.get_running_loop().call_later(seconds, self._end)

    def _end(self) -> None:
        self._timer = None
        self._go()
