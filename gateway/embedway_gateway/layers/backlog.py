"""How long texts will wait, as seen from calls that were full."""

from __future__ import annotations

import math

__all__ = ["Backlog"]

# Calls that are seen before anything is said.
_ENOUGH = 8
# How much the latest call counts.
_NEWEST = 0.2
_SHORTEST = 1e-6


class Backlog:
    """
    The mean is geometric, so that one call that took a hundred times as long as the others counts
    little: to let texts wait in vain is better than to refuse what would have been served.
    """

    def __init__(self) -> None:
        self._seen = 0
        self._log = 0.0
        """Of the seconds that a text takes in a call."""

    def add(self, texts: int, seconds: float) -> None:
        """Learn from a call that was full: others say nothing of how many go together."""
        self._seen += 1
        log = math.log(max(seconds, _SHORTEST) / texts)
        self._log += (log - self._log) * max(_NEWEST, 1 / self._seen)

    def seconds(self, texts: int, *, at_once: int) -> float:
        """Until so many texts have left; 0 while too little was seen."""
        if self._seen < _ENOUGH:
            return 0.0
        return texts * math.exp(self._log) / at_once
