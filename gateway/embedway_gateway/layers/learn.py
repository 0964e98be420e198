"""Shows what became of each call to the capacity of its upstream."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

from embedway_gateway.layers.bound import utf8_size
from embedway_gateway.layers.capacity import Capacity, Load
from embedway_gateway.layers.concurrency import Adaptive
from embedway_upstream import (
    BatchTooLarge,
    EmbeddingError,
    EmbeddingRequest,
    RateLimited,
    RerankRequest,
    Service,
    UpstreamTimeout,
)
from embedway_upstream.platforms.error import PlatformLimited

__all__ = ["Learn", "documents_of", "texts_of"]

Request = TypeVar("Request")
Reply = TypeVar("Reply")


def texts_of(request: EmbeddingRequest) -> Load:
    """What a request to embed carries."""
    return Load(len(request.inputs), sum(map(utf8_size, request.inputs)))


def documents_of(request: RerankRequest) -> Load:
    """What a request to rerank carries: the query is read with each document."""
    count = len(request.documents)
    return Load(count, sum(map(utf8_size, request.documents)) + count * utf8_size(request.query))


class Learn(Generic[Request, Reply]):
    """
    Stands right above Timeout, so that what it measures is the upstream's time alone. Marks a
    timeout after which fewer texts at once are worth a try.
    """

    def __init__(
        self,
        inner: Service[Request, Reply],
        capacity: Capacity,
        load: Callable[[Request], Load],
        *,
        concurrency: Adaptive | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._capacity = capacity
        self._load = load
        self._concurrency = concurrency
        self._running = self._begun = 0
        self._clock = clock

    async def send(self, request: Request) -> Reply:
        """The reply, or the error as it came."""
        load, begun = self._load(request), self._clock()
        self._running += 1
        running = self._running
        self._begun += 1
        number = self._begun
        try:
            reply = await self._inner.send(request)
        except EmbeddingError as error:
            self._refused(load, error, begun)
            raise
        finally:
            self._running -= 1
        ended = self._clock()
        self._capacity.answered(load, ended - begun)
        if self._concurrency is not None:
            self._concurrency.answered(
                begun=begun,
                ended=ended,
                size=load.size,
                running=running,
                alone=running == 1 and number == self._begun,
            )
        return reply

    def _refused(self, load: Load, error: EmbeddingError, begun: float) -> None:
        now = self._clock()
        scope = error.scope if isinstance(error, PlatformLimited) else None
        # How often a tenancy calls says nothing of a batch, nor of this deployment.
        own = isinstance(error, RateLimited) and scope != "tenancy"
        if isinstance(error, BatchTooLarge):
            self._capacity.too_large(load, error.limit)
        elif isinstance(error, UpstreamTimeout):
            error.fewer_may_pass = self._capacity.timed_out(load, now - begun)
        elif own:
            self._capacity.limited(load, bandwidth=scope == "deployment")
        if self._concurrency is not None and (own or isinstance(error, UpstreamTimeout)):
            self._concurrency.refused(begun=begun, ended=now)
