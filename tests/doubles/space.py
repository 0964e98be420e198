"""Upstreams whose vectors can be of another space, and what compares them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike

from doubles.time import Time
from embedway_gateway.layers.quarantine import Quarantine
from embedway_gateway.layers.reference import Candidate, Reference
from embedway_gateway.layers.space import SameSpace
from embedway_gateway.metric import Metrics
from embedway_gateway.precision import Precision
from embedway_upstream import EmbeddingRequest, EmbeddingResponse, Usage
from embedway_upstream.testing import FakeEmbedder, fake_vectors


class Changing(FakeEmbedder):
    """Gives the vectors of another model while it has a `salt`; `gate` holds its answers back."""

    def __init__(self, *, salt: str = "", dimensions: int = 8) -> None:
        super().__init__(dimensions=dimensions)
        self.salt = salt
        self.gate: asyncio.Event | None = None
        self.held = ""

    def fail(self, *errors: Exception) -> None:
        """Raise these next."""
        self._errors = list(errors)

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        await super().send(request)
        texts = [self.salt + text for text in request.inputs]
        if self.gate is not None and request.inputs[0] == self.held:
            await self.gate.wait()
        vectors = fake_vectors(texts, self.dimensions)
        return EmbeddingResponse(request.model, vectors, Usage(1, 1), self.name)


class Disturbed(FakeEmbedder):
    """Its vectors have exactly this cosine with those of `FakeEmbedder`."""

    def __init__(self, cosine: float) -> None:
        super().__init__()
        self.cosine = cosine

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        response = await super().send(request)
        rows = response.vectors
        aside = fake_vectors(["aside"], self.dimensions)
        aside = aside - (rows @ aside.T) * rows
        aside /= np.linalg.norm(aside, axis=1, keepdims=True)
        vectors = self.cosine * rows + np.sqrt(1 - self.cosine**2) * aside
        return EmbeddingResponse("m", vectors.astype(np.float32), Usage(1, 1), self.name)


class Scaled(FakeEmbedder):
    """Each vector has the length that `length` gives for its text, and the digits of `dtype`."""

    def __init__(
        self, length: Callable[[str], float] = lambda _text: 1.0, dtype: DTypeLike = np.float32
    ) -> None:
        super().__init__()
        self.length = length
        self.dtype = dtype

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        response = await super().send(request)
        lengths = np.array([[self.length(text)] for text in request.inputs], np.float32)
        vectors = (response.vectors * lengths).astype(self.dtype).astype(np.float32)
        return EmbeddingResponse("m", vectors, Usage(1, 1), self.name)


def candidate(
    name: str, service: FakeEmbedder, precision: Precision = "fp32", *, identity: str = ""
) -> Candidate:
    return Candidate(name=name, service=service, precision=precision, identity=identity)


def guard(
    name: str,
    inner: FakeEmbedder,
    reference: Reference,
    time: Time | None = None,
    *,
    precision: Precision = "fp32",
    metrics: Metrics | None = None,
) -> SameSpace:
    return SameSpace(
        inner,
        reference,
        upstream=name,
        quarantine=Quarantine(metrics or Metrics(), model="m", upstream=name),
        precision=precision,
        clock=time or Time(),
    )


def layer(inner: FakeEmbedder, reference: FakeEmbedder, time: Time | None = None) -> SameSpace:
    """What guards `inner`, called "second", against `reference`, called "first"."""
    time = time or Time()
    return guard("second", inner, Reference("m", [candidate("first", reference)], clock=time), time)


async def settle() -> None:
    """Until what runs beside has ended."""
    for _ in range(200):
        await asyncio.sleep(0)
