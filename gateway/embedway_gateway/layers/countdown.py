"""Counts down the seconds in which the event loop ran."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Countdown"]

# It is counted down in so many steps, each from when the loop came to the one before.
_STEPS = 8
# A step that is late by more is not counted at all, so often.
_LATE_SECONDS = 0.02
_PAUSES = 8


class Countdown:
    """
    Calls `do` after `seconds`, in which the loop was free to see what happened: a pause of ours (a
    collection of garbage, a machine that was put to sleep) is not time that somebody else took. It
    ends at `until`, on the loop's clock, whatever happened.
    """

    __slots__ = ("_do", "_due", "_loop", "_pauses", "_step", "_steps", "_timer", "_until")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        seconds: float,
        do: Callable[[], None],
        *,
        until: float = float("inf"),
    ) -> None:
        self._loop = loop
        self._do = do
        self._until = until
        self._step = seconds / _STEPS
        self._steps = _STEPS
        self._pauses = _PAUSES
        self._wait(loop.time())

    def cancel(self) -> None:
        """Do not call."""
        self._timer.cancel()

    def _wait(self, now: float) -> None:
        self._due = min(now + self._step, self._until)
        self._timer = self._loop.call_at(self._due, self._count)

    def _count(self) -> None:
        now = self._loop.time()
        if self._pauses and now - self._due > _LATE_SECONDS:
            self._pauses -= 1
        else:
            self._steps -= 1
        if self._steps and now < self._until:
            self._wait(now)
        else:
            self._do()
