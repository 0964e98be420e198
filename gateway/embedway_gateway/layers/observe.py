"""Counts what passes: requests above everything, attempts right above each upstream."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

from embedway_gateway.metric import Metrics
from embedway_upstream import (
    EmbeddingError,
    EmbeddingRequest,
    EmbeddingResponse,
    RerankRequest,
    RerankResponse,
    Service,
)

__all__ = ["Observe", "ObserveAttempt", "ObserveRerank", "outcome"]

Request = TypeVar("Request")
Reply = TypeVar("Reply")

_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")


def outcome(error: BaseException) -> str:
    """The error's kind as a label: `UpstreamTimeout` is `upstream_timeout`."""
    return _CAPITAL.sub("_", type(error).__name__).lower()


class _Outermost(ABC, Generic[Request, Reply]):
    """Sees refusals, answers without an upstream, and the final error."""

    def __init__(
        self,
        inner: Service[Request, Reply],
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

    async def send(self, request: Request) -> Reply:
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
        self._count(request, response)
        return response

    @abstractmethod
    def _count(self, request: Request, response: Reply) -> None: ...

    def _add(self, upstream: str, texts: int, tokens: int, *, fallback: bool) -> None:
        self._metrics.texts.labels(self._model, upstream).inc(texts)
        self._metrics.tokens.labels(self._model, upstream).inc(tokens)
        if fallback:
            self._metrics.fallbacks.labels(self._model).inc()


class Observe(_Outermost[EmbeddingRequest, EmbeddingResponse]):
    """Of embedding requests."""

    def _count(self, request: EmbeddingRequest, response: EmbeddingResponse) -> None:
        upstream = response.served_by
        texts, tokens = len(response.vectors), response.usage.total_tokens
        self._add(upstream, texts, tokens, fallback=response.fallback)
        if response.truncated:
            self._metrics.truncated.labels(self._model, upstream).inc(response.truncated)


class ObserveRerank(_Outermost[RerankRequest, RerankResponse]):
    """Of rerank requests; their texts are the documents."""

    def _count(self, request: RerankRequest, response: RerankResponse) -> None:
        texts, tokens = len(request.documents), response.usage.total_tokens
        self._add(response.served_by, texts, tokens, fallback=response.fallback)


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
