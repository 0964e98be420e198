"""Where a request's time goes: what the gateway takes of it, and what the upstream does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from embedway_gateway.metric import Metrics

__all__ = ["Phases", "Sampled", "Waited", "unwatched"]

Waited: TypeAlias = Callable[[float, float], None]
"""Told when something asked for a slot, and when it had it."""

# To observe one takes 1 to 3 µs, and there are six in a request.
_EVERY = 8
_QUIET_SECONDS = 0.1


def unwatched(_begun: float, _ended: float) -> None:
    """Nobody looks at how long it waited."""


class _Histogram(Protocol):
    def observe(self, amount: float) -> None: ...


class Sampled:
    """
    A histogram of one in eight, and of each that comes a tenth of a second after the last: means
    and quantiles stay what they are, counts and sums do not.
    """

    __slots__ = ("_left", "_next", "_observe")

    def __init__(self, histogram: _Histogram) -> None:
        self._observe = histogram.observe
        self._left = 0
        self._next = 0.0

    def took(self, begun: float, ended: float) -> None:
        """Something that lasted, by any clock that only goes forward."""
        self.add(ended - begun, ended)

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

    __slots__ = ("decode", "encode", "parse", "queue", "sign", "upstream")

    def __init__(self, metrics: Metrics, model: str) -> None:
        def phase(name: str) -> Sampled:
            return Sampled(metrics.phase_seconds.labels(model, name))

        self.parse = phase("parse")
        self.queue = phase("queue")
        self.sign = phase("sign")
        self.upstream = phase("upstream")
        self.decode = phase("decode")
        self.encode = phase("encode")

    def call(self, begun: float, signed: float, answered: float, read: float) -> None:
        """One exchange with an upstream, by the moments that divide it."""
        self.sign.took(begun, signed)
        self.upstream.took(signed, answered)
        self.decode.took(answered, read)
