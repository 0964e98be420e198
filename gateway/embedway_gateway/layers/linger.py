"""Keeps the slots in which a call would only wait for a fuller call, for a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Linger"]

# Of what a call takes, and at most in seconds: where it is not known whether it would only wait.
_SHARE = 0.25
_LONGEST = 0.005
# Of the time between the ends of two calls, and at most in seconds: where it would only wait. Less,
# and those who had an answer are not back with their next texts; more, and the upstream might have
# nothing to do, nor would a call wait so long there that the limit sees that it waits.
_TURN_SHARE = 0.7
_LONGEST_TURN = 0.05
# How much the latest call counts in what is known of how long they take.
_NEWEST = 0.1


class Linger:
    """
    Answers come for many callers at once, and so do their next requests: whose text comes first
    would take the next slot alone. Where slots follow what the upstream serves, a call in the last
    of them only waits there for others, so that to wait here for more texts costs nothing.

    `go` is called when the moment is over. While no call runs, nobody lingers.
    """

    def __init__(self, go: Callable[[], None], clock: Callable[[], float]) -> None:
        self._go = go
        self._clock = clock
        self._took = 0.0
        self._turn = 0.0
        """Between the ends of two calls, while there was one to end."""
        self._ended = 0.0
        self._until: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def note(self, begun: float) -> None:
        """Learn from a call that ends now."""
        now = self._clock()
        took, turn = now - begun, now - max(begun, self._ended)
        self._ended = now
        kept = 1 - _NEWEST if self._took else 0.0
        self._took = self._took * kept + took * (1 - kept)
        self._turn = self._turn * kept + turn * (1 - kept)

    def concerns(self, running: int, slots: int, queueing: int) -> bool:
        """
        Whether the next call would be in one of the `queueing` slots of the `slots`, in which it
        would only wait; of several slots the last is thought to be one.
        """
        return 0 < running >= slots - (queueing or 1) and self._took > 0

    def goes_on(self, *, queueing: bool) -> bool:
        """Whether the moment, which begins with the first question, is not over."""
        now = self._clock()
        if self._until is None:
            if queueing:
                turn = self._ended + self._turn * _TURN_SHARE
                self._until = min(turn, now + _LONGEST_TURN)
            else:
                self._until = now + min(self._took * _SHARE, _LONGEST)
        left = self._until - now
        if left > 0 and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(left, self._end)
        return left > 0

    def over(self) -> None:
        """A call began; another moment may come."""
        self._until = None

    def _end(self) -> None:
        self._timer = None
        self._go()
