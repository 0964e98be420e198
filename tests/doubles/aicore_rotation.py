"""A stand-in for AI Core whose tokens end, and are revoked when somebody else gets one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from doubles.aicore_api import AICoreAPI


@dataclass
class RotatingAICore(AICoreAPI):
    """
    A token holds for `expires_in`, and for `overlap` at most once a newer one was given. With
    `every`, another client with the same login gets one whenever so much has passed. All three are
    in the unit of `clock`; one that counts calls makes them independent of a machine's pace.
    """

    overlap: float = 0.2
    every: float | None = None
    clock: Callable[[], float] = time.monotonic
    verdicts: Counter[str] = field(default_factory=Counter)
    """What became of the calls: "ok", "over" for a token that held once, or "unknown"."""
    ends: dict[str, float] = field(default_factory=dict)
    _rotated: float = 0.0

    def rotate(self) -> None:
        """A new token; the others hold a moment longer."""
        self._rotated = self.clock()
        for token, end in self.ends.items():
            self.ends[token] = min(end, self._rotated + self.overlap)
        super().rotate()
        self.ends[f"Bearer {self.token}"] = self._rotated + float(self.expires_in)

    def accepts(self, authorization: str) -> bool:
        """Whether it is a token that still holds."""
        if self.every is not None and self.clock() - self._rotated >= self.every:
            self.rotate()
        end = self.ends.get(authorization)
        verdict = "unknown" if end is None else "ok" if self.clock() < end else "over"
        self.verdicts[verdict] += 1
        return verdict == "ok"
