"""Keeps requests from an upstream that fails, and finds out when it is well again."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Breaker", "BreakerState", "Patience"]

BreakerState: TypeAlias = Literal["closed", "half-open", "open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """
    How many failures in a row open the breaker (Envoy's `consecutive_5xx`, Finagle's failure
    accrual: five), and for how long, in seconds: `rest`, twice as long each time that it opens
    again without a success in between, at most `longest` (Finagle: 5 s to 300 s, equal jitter).
    """

    failures: int = 5
    rest: float = 5.0
    longest: float = 300.0


_PATIENCE = Patience()


def _nobody(_state: BreakerState) -> None:
    """Told of every change, where nobody wants to know."""


class Breaker:
    """
    Closed: all may pass. Open: nobody, for a while. Half-open: one, whose success closes it and
    whose failure opens it for longer. Times are on the caller's clock, in seconds.

    What began before the breaker last opened or closed tells nothing of what came after: it
    neither opens nor closes it.
    """

    def __init__(
        self,
        patience: Patience = _PATIENCE,
        *,
        jitter: Callable[[], float] = random.random,
        told: Callable[[BreakerState], None] = _nobody,
    ) -> None:
        self._patience = patience
        self._jitter = jitter
        self._told = told
        self._failures = 0
        self._times = 0
        self._probes = self._probe = 0
        self._changed = self._outrun = -math.inf
        self.open_until: float | None = None
        """None while it is closed."""
        told("closed")

    def state(self, now: float) -> BreakerState:
        """As it is at that moment."""
        if self.open_until is None:
            return "closed"
        return "open" if now < self.open_until else "half-open"

    def may_pass(self, now: float) -> bool:
        """Whether a request may be sent."""
        if self.open_until is None:
            return True
        return now >= self.open_until and not self._probe

    def passed(self, now: float) -> int:
        """A request is sent; gives its number where it is a probe, else 0."""
        if self.open_until is None or now < self.open_until or self._probe:
            return 0
        self._probes += 1
        self._probe = self._probes
        self._told("half-open")
        return self._probe

    def answered(self, begun: float) -> None:
        """The upstream was well, with a request that began then."""
        if begun < self._changed:
            return
        self._failures = 0
        if self.open_until is not None:
            self._times = self._probe = 0
            self.open_until = None
            self._changed = begun
            self._told("closed")

    def failed(self, begun: float, now: float, *, at_once: bool = False, probe: int = 0) -> None:
        """A request failed; `at_once` where there is no doubt, as when nobody listens."""
        if begun < self._changed:
            return
        self._failures += 1
        if self.open_until is not None and not self._is(probe):
            # It was asked although it rests, because all did.
            return
        if at_once or self._is(probe) or self._failures >= self._patience.failures:
            self._open(now)

    def outrun(self, begun: float, now: float, *, probe: int = 0) -> None:
        """Another answered sooner. Those that were outrun together, by one pause, are one."""
        if self._is(probe) or begun >= self._outrun:
            self._outrun = now
            self.failed(begun, now, probe=probe)

    def undecided(self, probe: int) -> None:
        """The request was given up before it told anything; another may be the probe."""
        if self._is(probe):
            self._probe = 0

    def try_now(self, now: float) -> None:
        """It was heard from elsewhere that the upstream is well: let the probe go at once."""
        if self.open_until is not None:
            self.open_until = min(self.open_until, now)

    def _is(self, probe: int) -> bool:
        return probe != 0 and probe == self._probe

    def _open(self, now: float) -> None:
        rest = min(self._patience.longest, self._patience.rest * 2.0 ** min(self._times, 16))
        # Half of it is certain, so that those who opened together do not ask together.
        self.open_until = now + rest * (0.5 + 0.5 * self._jitter())
        self._times += 1
        self._probe = 0
        self._changed = now
        self._told("open")
