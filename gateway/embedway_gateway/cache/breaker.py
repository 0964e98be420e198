"""Leaves alone for a while what failed."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Breaker"]


class Breaker:
    """
    A failure opens it for `first` seconds, then one call may try; each that fails doubles the rest,
    up to `longest`. What succeeds closes it.
    """

    def __init__(
        self,
        *,
        first: float = 1.0,
        longest: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first = first
        self._longest = longest
        self._clock = clock
        self._rest = 0.0
        self._until = 0.0
        self._turn = 0
        self._trying = False

    @property
    def closed(self) -> bool:
        """Whether all went well lately."""
        return self._rest == 0.0

    def enter(self) -> int | None:
        """The number of a turn, to be ended by one of the others; None where none may begin."""
        if self.closed:
            return self._turn
        if self._trying or self._clock() < self._until:
            return None
        self._trying = True
        return self._turn

    def succeeded(self, turn: int) -> bool:
        """The call was answered; whether that closed it."""
        if turn != self._turn or self.closed:
            return False
        self._rest, self._trying = 0.0, False
        return True

    def failed(self, turn: int) -> None:
        """It was not. Of calls that ran side by side only the first counts."""
        if turn != self._turn:
            return
        self._turn += 1
        self._trying = False
        self._rest = min(self._longest, self._rest * 2 or self._first)
        self._until = self._clock() + self._rest

    def left(self, turn: int) -> None:
        """It was given up, and tells nothing."""
        if turn == self._turn:
            self._trying = False
