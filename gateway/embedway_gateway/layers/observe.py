"""Counts what passes: requests above everything, attempts right above each upstream."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from typing import Generic, TypeVar

from prometheus_client import Counter

from embedway_gateway.layers.ending import at_end
from embedway_gateway.metric import Metrics
from embedway_gateway.phase import Sampled
from embedway_upstream import (
    EmbeddingError,
    EmbeddingRequest,
    EmbeddingResponse,
    RerankRequest,
    RerankResponse,
    Service,
)
from embedway_upstream.chat import ChatReply, ChatRequest

__all__ = ["Observe", "ObserveAttempt", "ObserveChat", "ObserveRerank", "outcome"]

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
        self._of_upstream = cache(self._labelled)

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
        of_texts, of_tokens = self._of_upstream(upstream)
        of_texts.inc(texts)
        of_tokens.inc(tokens)
        if fallback:
            self._metrics.fallbacks.labels(self._model).inc()

    def _labelled(self, upstream: str) -> tuple[Counter, Counter]:
        """Looked up once an upstream: a look-up costs more than counting."""
        labels = (self._model, upstream)
        return self._metrics.texts.labels(*labels), self._metrics.tokens.labels(*labels)


class Observe(_Outermost[EmbeddingRequest, EmbeddingResponse]):
    """Of embedding requests; `spared` is told of each that the cache answered."""

    def __init__(
        self,
        inner: Service[EmbeddingRequest, EmbeddingResponse],
        metrics: Metrics,
        *,
        model: str,
        clock: Callable[[], float] = time.perf_counter,
        spared: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(inner, metrics, model=model, clock=clock)
        self._spared = spared

    def _count(self, request: EmbeddingRequest, response: EmbeddingResponse) -> None:
        upstream = response.served_by
        texts, tokens = len(response.vectors), response.usage.total_tokens
        if response.cached:
            self._add("cache", response.cached, response.cached_tokens, fallback=False)
        if response.cached < texts:
            texts, tokens = texts - response.cached, tokens - response.cached_tokens
            self._add(upstream, texts, tokens, fallback=response.fallback)
        elif self._spared is not None:
            self._spared()


class ObserveRerank(_Outermost[RerankRequest, RerankResponse]):
    """Of rerank requests; their texts are the documents."""

    def _count(self, request: RerankRequest, response: RerankResponse) -> None:
        texts, tokens = len(request.documents), response.usage.total_tokens
        self._add(response.served_by, texts, tokens, fallback=response.fallback)


class ObserveChat(_Outermost[ChatRequest, ChatReply]):
    """Of chats and completions; a stream counts, and its time ends, when it begins."""

    def _count(self, request: ChatRequest, response: ChatReply) -> None:
        # Tokens are told at the end of the answer, which whoever passes it on sees.
        self._add(response.served_by, 0, 0, fallback=response.fallback)


class ObserveAttempt(Generic[Request, Reply]):
    """
    Right above one upstream: every attempt, whatever became of the request. `size` is how many
    texts it has.
    """

    def __init__(
        self,
        inner: Service[Request, Reply],
        metrics: Metrics,
        *,
        model: str,
        upstream: str,
        size: Callable[[Request], int] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._inner = inner
        self._size = size
        self._texts = Sampled(metrics.batch_texts.labels(model, upstream)) if size else None
        self._attempts = metrics.attempts
        self._truncated = metrics.truncated
        self._labels = (model, upstream)
        self._clock = clock
        self._seconds = metrics.attempt_seconds.labels(model, upstream)
        self._in_flight = metrics.in_flight.labels(model, upstream)
        self._ok = metrics.attempts.labels(model, upstream, "ok")

    async def send(self, request: Request) -> Reply:
        """Send, and count."""
        started = self._clock()
        self._in_flight.inc()
        if self._texts is not None and self._size is not None:
            self._texts.add(self._size(request), started)
        try:
            reply = await self._inner.send(request)
        except BaseException as error:
            self._in_flight.dec()
            if isinstance(error, EmbeddingError):
                self._attempts.labels(*self._labels, outcome(error)).inc()
            raise
        finally:
            self._seconds.observe(self._clock() - started)
        at_end(reply, self._in_flight.dec)
        self._ok.inc()
        # Here, because of texts that travelled together nobody can tell whose was cut.
        if isinstance(reply, EmbeddingResponse) and reply.truncated:
            self._truncated.labels(*self._labels).inc(reply.truncated)
        return reply
