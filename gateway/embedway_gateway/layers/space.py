"""Keeps an upstream from serving until its vectors are seen to match the model's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from embedway_upstream import (
    EmbeddingError,
    EmbeddingRequest,
    EmbeddingResponse,
    Service,
    UpstreamFailed,
    WrongSpace,
)

__all__ = ["CANARIES", "Reference", "SameSpace", "agreement"]

# Short and long, plain and not: what sets tokenizers, poolings and truncations apart.
CANARIES = (
    "hello",
    "What is the capital of France?",
    "The quick brown fox jumps over the lazy dog, and the dog does not mind at all.",
    "def add(a: int, b: int) -> int:\n    return a + b",
    "Größe, naïve, 東京, Привет, مرحبا – 42 % of €1,299.00",
    "UPPER and lower, tabs\tand\nnew lines, e-mail: a.b@example.com, v1.2.3-rc.4",
    " ".join(f"Clause {n}: the parties agree to the terms stated above." for n in range(1, 13)),
    "Embeddings map a text to a vector so that texts of like meaning lie close together. " * 6,
)

_FRESH = 60.0


def agreement(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The smallest cosine between rows of the same number; -1 when the shapes differ."""
    if one.shape != other.shape:
        return -1.0
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float((np.einsum("ij,ij->i", one, other) / np.maximum(lengths, 1e-12)).min())


class Reference:
    """The model's own vectors of the canary texts, from the upstream that defines it."""

    def __init__(
        self, model: str, name: str, service: Service[EmbeddingRequest, EmbeddingResponse]
    ) -> None:
        self.model = model
        self.name = name
        self._service = service
        self._lock = asyncio.Lock()
        self._vectors: NDArray[np.float32] | None = None

    async def vectors(self) -> NDArray[np.float32]:
        """(8, d), asked for once."""
        async with self._lock:
            if self._vectors is None:
                self._vectors = await canary_vectors(self._service, self.model)
            return self._vectors


async def canary_vectors(
    service: Service[EmbeddingRequest, EmbeddingResponse], model: str
) -> NDArray[np.float32]:
    """The service's vectors of the canary texts, each sent alone: (8, d)."""
    rows = [
        (await service.send(EmbeddingRequest(model=model, inputs=(text,)))).vectors
        for text in CANARIES
    ]
    return np.concatenate(rows)


class SameSpace:
    """
    Lets requests through once the upstream's canary vectors have a cosine of at least
    `threshold` with the reference's; until then, and when they differ, raises `WrongSpace`.

    A result that says no is asked for again after a minute.
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
        self._lock = asyncio.Lock()
        self._proven = False
        self._refused_until = 0.0
        self.problem = "its vectors have not been compared with the model's yet"
        """Why it does not serve; empty when it does."""

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """Send, when the upstream is proven."""
        if not self._proven:
            await self.prove()
        return await self._inner.send(request)

    async def prove(self) -> None:
        """Compare now, unless that has been done; raises what stands in the way."""
        async with self._lock:
            if self._proven:
                return
            if self._clock() < self._refused_until:
                raise WrongSpace(self.problem, upstream=self._upstream)
            try:
                cosine = await self._compare()
            except EmbeddingError as error:
                self.problem = f"its vectors could not be compared: {error.message}"
                raise
            if cosine >= self._threshold:
                self._proven, self.problem = True, ""
                return
            self.problem = (
                f"its vectors differ from those of {self._reference.name!r}: "
                f"cosine {cosine:.4f}, at least {self._threshold} is needed"
            )
            self._refused_until = self._clock() + _FRESH
            raise WrongSpace(self.problem, upstream=self._upstream)

    async def _compare(self) -> float:
        try:
            wanted = await self._reference.vectors()
        except EmbeddingError as error:
            raise UpstreamFailed(
                f"{self._reference.name!r}, which defines the vector space, does not answer",
                upstream=self._upstream,
                detail=error.message,
            ) from error
        return agreement(wanted, await canary_vectors(self._inner, self._reference.model))
