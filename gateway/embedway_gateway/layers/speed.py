"""How fast an upstream reads, judged by its calls that took long."""

from __future__ import annotations

__all__ = ["Speed"]

# How much of what was seen before counts beside a further call.
_KEPT = 0.9


class Speed:
    """
    Seconds for each byte of text: a mean that forgets, weighted by bytes, and that begins anew with
    any call that was slower than it (Finagle's peak EWMA). None until a call took `noticeable`
    seconds, so that a quick upstream is never judged by the overhead of its short calls.
    """

    def __init__(self, *, noticeable: float) -> None:
        self._noticeable = noticeable
        self._seconds = 0.0
        self._bytes = 0.0

    @property
    def seconds_per_byte(self) -> float | None:
        """As far as it is known."""
        return self._seconds / self._bytes if self._bytes else None

    def took(self, size: int, seconds: float, *, texts: int) -> None:
        """
        Learn from an answer. A call of one text, which could not be cut, never makes the upstream
        slower: it may have waited for others.
        """
        if self._is_slower(size, seconds):
            if texts > 1 and seconds >= self._noticeable:
                self._begin(size, seconds)
            return
        self._seconds = self._seconds * _KEPT + seconds
        self._bytes = self._bytes * _KEPT + size

    def lasted(self, size: int, seconds: float) -> None:
        """Learn from a call that was given up: it is at least that slow."""
        if self._is_slower(size, seconds):
            self._begin(size, seconds)

    def _is_slower(self, size: int, seconds: float) -> bool:
        known = self.seconds_per_byte
        return known is None or seconds > known * size

    def _begin(self, size: int, seconds: float) -> None:
        self._seconds, self._bytes = seconds, float(max(1, size))
