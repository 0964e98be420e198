"""Where a request's time goes: what the gateway takes of it, and what the upstream does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from embedway_gateway.metric import Metrics

__all__ = ["Phases", "Sampled", "Waited", "unwatched"]

Waited: TypeAlias = Callable[[float, float], None]
"""Told when something asked for a slot, and when it had it."""

# To observe one takes 1 to 3 µs, and there are seven in a request.
_EVERY = 32
_QUIET_SECONDS = 0.1


def unwatched(_begun: float, _ended: float) -> None:
    """Nobody looks at how long it waited."""


class _Histogram(Protocol):
    def observe(self, amount: float) -> None: ...


class Sampled:
    """
    A histogram of one in thirty-two, and of each that comes a tenth of a second after the last:
    means and quantiles stay what they are, counts and sums do not.
    """

    __slots__ = ("_left", "_next", "_observe")

    def __init__(self, histogram: _Histogram) -> None:
        self._observe = histogram.observe
        self._left = 0
        self._next = 0.0

    def took(self, begun: float, ended: float) -> None:
        """Something that lasted, by any clock that only goes forward."""
        # As below: a call would cost as much as all the rest.
        self._left -= 1
        if self._left > 0 and ended < self._next:
            return
        self._left, self._next = _EVERY, ended + _QUIET_SECONDS
        self._observe(ended - begun)

    def add(self, amount: float, now: float) -> None:
        """An amount of something else."""
        self._left -= 1
        if self._left > 0 and now < self._next:
            return
        self._left, self._next = _EVERY, now + _QUIET_SECONDS
        self._observe(amount)


class Phases:
    """
    Of one model: `parse` and `encode` of a request, `sign`, `upstream` and `decode` of each call
    over HTTP, and `queue` of whatever had to ask for a free slot.
    """

    __slots__ = ("_decode", "_left", "_next", "_sign", "_upstream", "encode", "parse", "queue")

    def __init__(self, metrics: Metrics, model: str) -> None:
        phases = metrics.phase_seconds
        self.parse = Sampled(phases.labels(model, "parse"))
        self.queue = Sampled(phases.labels(model, "queue"))
        self.encode = Sampled(phases.labels(model, "encode"))
        self._sign = phases.labels(model, "sign").observe
        self._upstream = phases.labels(model, "upstream").observe
        self._decode = phases.labels(model, "decode").observe
        self._left = 0
        self._next = 0.0

    def call(self, begun: float, signed: float, answered: float, read: float) -> None:
        """One exchange with an upstream, by the moments that divide it; sampled as one."""
        self._left -= 1
        if self._left > 0 and read < self._next:
            return
        self._left, self._next = _EVERY, read + _QUIET_SECONDS
        self._sign(signed - begun)
        self._upstream(answered - signed)
        self._decode(read - answered)
