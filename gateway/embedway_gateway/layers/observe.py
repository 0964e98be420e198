"""Counts what passes: requests above everything, attempts right above each upstream."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from embedway_gateway.metric import Metrics
from embedway_upstream import EmbeddingError, EmbeddingRequest, EmbeddingResponse, Service

__all__ = ["Observe", "ObserveAttempt", "outcome"]

Request = TypeVar("Request")
Reply = TypeVar("Reply")

_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")


def outcome(error: BaseException) -> str:
    """The error's kind as a label: `UpstreamTimeout` is `upstream_timeout`."""
    return _CAPITAL.sub("_", type(error).__name__).lower()


class Observe:
    """Outermost, so that it sees cache hits, refusals and the final error."""

    def __init__(
        self,
        inner: Service[EmbeddingRequest, EmbeddingResponse],
        metrics: Metrics,
        *,
        model: str,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._inner = inner
        self._metrics = metrics
        self._model = model
        self._clock = clock
        self._seconds = metrics.seconds.labels(model)
        self._ok = metrics.requests.labels(model, "ok")

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """Send, and count."""
        started = self._clock()
        try:
            response = await self._inner.send(request)
        except BaseException as error:
            self._metrics.requests.labels(self._model, outcome(error)).inc()
            raise
        finally:
            self._seconds.observe(self._clock() - started)
        self._ok.inc()
        self._count(response)
        return response

    def _count(self, response: EmbeddingResponse) -> None:
        metrics, labels = self._metrics, (self._model, response.served_by)
        metrics.texts.labels(*labels).inc(len(response.vectors))
        metrics.tokens.labels(*labels).inc(response.usage.total_tokens)
        if response.truncated:
            metrics.truncated.labels(*labels).inc(response.truncated)
        if response.fallback:
            metrics.fallbacks.labels(self._model).inc()


class ObserveAttempt(Generic[Request, Reply]):
    """Right above one upstream: every attempt, whatever became of the request."""

    def __init__(
        self,
        inner: Service[Request, Reply],
        metrics: Metrics,
        *,
        model: str,
        upstream: str,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._inner = inner
        self._attempts = metrics.attempts
        self._labels = (model, upstream)
        self._clock = clock
        self._seconds = metrics.attempt_seconds.labels(model, upstream)
        self._in_flight = metrics.in_flight.labels(model, upstream)
        self._ok = metrics.attempts.labels(model, upstream, "ok")

    async def send(self, request: Request) -> Reply:
        """Send, and count."""
        started = self._clock()
        self._in_flight.inc()
        try:
            reply = await self._inner.send(request)
        except EmbeddingError as error:
            self._attempts.labels(*self._labels, outcome(error)).inc()
            raise
        finally:
            self._in_flight.dec()
            self._seconds.observe(self._clock() - started)
        self._ok.inc()
        return reply
