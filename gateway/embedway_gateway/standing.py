"""Shows how an upstream stands: its circuit breaker, and how many calls it is given."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from embedway_gateway.layers.breaker import BreakerState
from embedway_gateway.metric import Metrics

__all__ = ["Standing"]

# The breaker's states as numbers; what is served no more has none of them.
_STATES: Mapping[BreakerState, int] = MappingProxyType({"closed": 0, "half-open": 1, "open": 2})
_GONE = -1


class Standing:
    """
    Two gauges of one upstream, which are told only between `begin` and `end`: a configuration
    that is not served yet, or no more, must not speak over the one that is.
    """

    def __init__(self, metrics: Metrics, *, model: str, upstream: str) -> None:
        self._metrics = metrics
        self._labels = (model, upstream)
        self._breaker: BreakerState = "closed"
        self._limit: int | None = None
        self._served = False

    def breaker(self, state: BreakerState) -> None:
        """It changed."""
        self._breaker = state
        if self._served:
            self._tell()

    def limit(self, limit: int) -> None:
        """It changed; in calls at once."""
        self._limit = limit
        if self._served:
            self._tell()

    def begin(self) -> None:
        """From now on it is served."""
        self._served = True
        self._tell()

    def end(self, *, followed: bool) -> None:
        """No more; unless another follows it by the same name, it is gone."""
        self._served = False
        if followed:
            return
        # The series cannot be taken away: of several workers each has written it to a file.
        self._metrics.breaker_state.labels(*self._labels).set(_GONE)
        if self._limit is not None:
            self._metrics.concurrency_limit.labels(*self._labels).set(0)

    def _tell(self) -> None:
        self._metrics.breaker_state.labels(*self._labels).set(_STATES[self._breaker])
        if self._limit is not None:
            self._metrics.concurrency_limit.labels(*self._labels).set(self._limit)
