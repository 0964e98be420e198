"""A double of anything that embeds, for tests: deterministic, and with a memory."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from embedway_upstream.embedding import EmbeddingRequest, EmbeddingResponse, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["FakeEmbedder", "fake_vectors"]


def fake_vectors(texts: Sequence[str], dimensions: int) -> NDArray[np.float32]:
    """A unit vector for each text, always the same one: float32 (n, dimensions)."""
    rows = np.empty((len(texts), dimensions), dtype=np.float32)
    for row, text in zip(rows, texts, strict=True):
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
        row[:] = np.random.default_rng(seed).standard_normal(dimensions)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


class FakeEmbedder:
    """
    Answers with `fake_vectors`, or raises the errors in `errors`, one a call, first.

    `requests` holds what it was asked.
    """

    def __init__(
        self, *, name: str = "fake", dimensions: int = 8, errors: Sequence[Exception] = ()
    ) -> None:
        self.name = name
        self.dimensions = dimensions
        self.requests: list[EmbeddingRequest] = []
        self._errors = list(errors)

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """The vectors of the request's inputs."""
        self.requests.append(request)
        if self._errors:
            raise self._errors.pop(0)
        tokens = sum(len(text.split()) for text in request.inputs)
        return EmbeddingResponse(
            model=request.model,
            vectors=fake_vectors(request.inputs, request.dimensions or self.dimensions),
            usage=Usage(tokens, tokens),
            served_by=self.name,
        )
