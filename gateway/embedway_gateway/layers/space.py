"""Keeps an upstream from serving until its vectors are seen to match the model's."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from embedway_upstream import (
    BadReply,
    DeadlineExceeded,
    EmbeddingError,
    EmbeddingRequest,
    EmbeddingResponse,
    InvalidRequest,
    Service,
    UpstreamDefect,
    UpstreamError,
    UpstreamFailed,
    WrongSpace,
)
from embedway_upstream.platforms.error import AmbiguousFailure

__all__ = ["CANARIES", "Canaries", "Reference", "SameSpace", "agreement", "canary_vectors"]

_log = logging.getLogger("embedway.gateway")

# Short and long, plain and not: what sets tokenizers and poolings apart. The last is longer than
# any model takes, and no part of it is like another: it shows where a text is cut.
CANARIES = (
    "hello",
    "What is the capital of France?",
    "The quick brown fox jumps over the lazy dog, and the dog does not mind at all.",
    "def add(a: int, b: int) -> int:\n    return a + b",
    "Größe, naïve, 東京, Привет, مرحبا – 42 % of €1,299.00",
    "UPPER and lower, tabs\tand\nnew lines, e-mail: a.b@example.com, v1.2.3-rc.4",
    " ".join(f"Clause {n}: the parties agree to the terms stated above." for n in range(1, 13)),
    " ".join(f"Line {n} is about {n * 37 % 101} ships and {n * n % 89} stars." for n in range(700)),
)

_AGAIN = 60.0
_FRESH = 300.0

Canaries = dict[int, NDArray[np.float32]]
"""The vector of each canary text, by its number; a text that was refused as too long is absent."""


def agreement(one: Canaries, other: Canaries) -> float:
    """The smallest cosine between vectors of the same text; -1 when their sizes differ."""
    worst = 1.0
    for number in one.keys() & other.keys():
        first, second = one[number], other[number]
        if first.shape != second.shape:
            return -1.0
        lengths = float(np.linalg.norm(first) * np.linalg.norm(second))
        worst = min(worst, float(first @ second) / max(lengths, 1e-12))
    return worst


async def canary_vectors(
    service: Service[EmbeddingRequest, EmbeddingResponse], model: str
) -> Canaries:
    """The service's vectors of the canary texts, each sent alone."""
    found: Canaries = {}
    for number, text in enumerate(CANARIES):
        try:
            response = await service.send(EmbeddingRequest(model=model, inputs=(text,)))
        except (InvalidRequest, UpstreamDefect, AmbiguousFailure):
            # Only the last text is too long for engines that refuse instead of cutting, or whose
            # score.py breaks down; not each of them says so in words that are known.
            if number < len(CANARIES) - 1:
                raise
        else:
            found[number] = response.vectors[0]
    return found


class Reference:
    """
    The model's own vectors of the canary texts, from the upstream that defines it.

    Of a deployment they are asked for again every five minutes, because it may be replaced;
    `generation` tells how often they were then found to differ.
    """

    def __init__(
        self,
        model: str,
        name: str,
        service: Service[EmbeddingRequest, EmbeddingResponse],
        *,
        lasting: bool = False,
        threshold: float = 0.999,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model = model
        self.name = name
        self.generation = 0
        self._service = service
        self._fresh = float("inf") if lasting else _FRESH
        self._threshold = threshold
        self._clock = clock
        self._lock = asyncio.Lock()
        self._vectors: Canaries | None = None
        self._taken = 0.0

    async def vectors(self) -> Canaries:
        """Asked for when they are not there or no longer fresh."""
        async with self._lock:
            if self._vectors is None or self._clock() - self._taken > self._fresh:
                found = await canary_vectors(self._service, self.model)
                before, self._vectors, self._taken = self._vectors, found, self._clock()
                if before is not None and agreement(before, found) < self._threshold:
                    self.generation += 1
                    _log.error("%s: upstream %r serves another model now", self.model, self.name)
            return self._vectors


class SameSpace:
    """
    Lets requests through while the upstream's canary vectors have a cosine of at least
    `threshold` with the reference's; until then, and when they differ, raises `WrongSpace`.

    They are compared before the first request, again after the upstream failed, for it may come
    back as another, and every five minutes beside the traffic. A result that says no is asked for
    again after a minute. A request waits for the comparison no longer than its deadline.
    """

    def __init__(
        self,
        inner: Service[EmbeddingRequest, EmbeddingResponse],
        reference: Reference,
        *,
        upstream: str,
        threshold: float = 0.999,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._reference = reference
        self._upstream = upstream
        self._threshold = threshold
        self._clock = clock
        self._proving: asyncio.Task[None] | None = None
        self._proven = False
        self._proven_at = 0.0
        self._generation = 0
        self._size = 0
        self._refused_until = 0.0
        self.problem = "its vectors have not been compared with the model's yet"
        """Why it does not serve; empty when it does."""

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """Send, when the upstream is proven."""
        if not self._proven or self._generation != self._reference.generation:
            await self._wait(request.deadline)
        elif self._clock() - self._proven_at > _FRESH:
            self._begin()
        try:
            response = await self._inner.send(request)
        except UpstreamError:
            self._proven = False
            raise
        if response.vectors.shape[1] != self._size:
            self._proven = False
            raise BadReply("the upstream's vectors changed their size", upstream=self._upstream)
        return response

    async def prove(self) -> None:
        """Compare now, unless it is proven; raises what stands in the way."""
        if not self._proven:
            await self._wait(None)

    async def _wait(self, deadline: float | None) -> None:
        if self._clock() < self._refused_until:
            raise WrongSpace(self.problem, upstream=self._upstream)
        left = None if deadline is None else deadline - self._clock()
        try:
            async with asyncio.timeout(left):
                # Shielded: one comparison serves all who wait, whoever goes away.
                await asyncio.shield(self._begin())
        except TimeoutError:
            raise DeadlineExceeded(
                "the deadline passed while the upstream was compared with the model",
                upstream=self._upstream,
            ) from None

    def _begin(self) -> asyncio.Task[None]:
        if self._proving is None or self._proving.done():
            self._proving = asyncio.create_task(self._prove())
            # Looked at, because nobody may be waiting for it.
            self._proving.add_done_callback(lambda done: done.cancelled() or done.exception())
        return self._proving

    async def _prove(self) -> None:
        try:
            wanted = await self._wanted()
            found = await canary_vectors(self._inner, self._reference.model)
        except EmbeddingError as error:
            self._proven = False
            self.problem = f"its vectors could not be compared: {error.message}"
            raise
        cosine = agreement(wanted, found)
        if cosine >= self._threshold:
            self._proven, self.problem = True, ""
            self._proven_at, self._generation = self._clock(), self._reference.generation
            self._size = next(iter(found.values())).shape[0]
            return
        self._proven = False
        self.problem = (
            f"its vectors differ from those of {self._reference.name!r}: "
            f"cosine {cosine:.4f}, at least {self._threshold} is needed"
        )
        self._refused_until = self._clock() + _AGAIN
        raise WrongSpace(self.problem, upstream=self._upstream)

    async def _wanted(self) -> Canaries:
        try:
            return await self._reference.vectors()
        except EmbeddingError as error:
            raise UpstreamFailed(
                f"{self._reference.name!r}, which defines the vector space, does not answer",
                upstream=self._upstream,
                detail=error.message,
            ) from error
