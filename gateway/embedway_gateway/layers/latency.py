"""How long an upstream takes, for choosing between several."""

from __future__ import annotations

import math
from collections import deque

__all__ = ["PeakEWMA", "Quantile"]

# Finagle's decay: what is ten seconds old counts a third.
_DECAY_SECONDS = 10.0


class PeakEWMA:
    """
    A mean that forgets, but that a slow answer lifts at once (Finagle's peak EWMA). Without
    traffic it falls, so that an upstream that was slow is tried again.
    """

    __slots__ = ("_at", "last")

    def __init__(self) -> None:
        self.last = 0.0
        """As it was when the latest call ended."""
        self._at = 0.0

    def observe(self, seconds: float, now: float) -> None:
        """Learn from a call that ended now."""
        kept = math.exp(-max(0.0, now - self._at) / _DECAY_SECONDS)
        known = self.last * kept
        self.last = seconds if seconds > known else known + seconds * (1 - kept)
        self._at = now

    def lasted(self, seconds: float, now: float) -> None:
        """Learn from a call that was given up: it would have taken longer."""
        if seconds > self.seconds(now):
            self.observe(seconds, now)

    def seconds(self, now: float) -> float:
        """As far as it is known; 0 where it is not."""
        if self.last == 0.0:
            return 0.0
        return self.last * math.exp(-max(0.0, now - self._at) / _DECAY_SECONDS)


class Quantile:
    """Of the latest values, sorted anew only now and then."""

    __slots__ = ("_latest", "_new", "_of", "_value")

    # Enough that the 95th of a hundred is not the worst.
    _KEPT = 200
    _EVERY = 20

    def __init__(self, of: float) -> None:
        self._of = of
        self._latest: deque[float] = deque(maxlen=self._KEPT)
        self._new = 0
        self._value: float | None = None

    def add(self, value: float) -> None:
        """One more."""
        self._latest.append(value)
        self._new += 1
        if self._new >= self._EVERY:
            self._new = 0
            ordered = sorted(self._latest)
            self._value = ordered[min(len(ordered) - 1, int(len(ordered) * self._of))]

    @property
    def value(self) -> float | None:
        """None before there are enough."""
        return self._value
