"""Cuts vectors to the dimensions that were asked for, where the model was trained for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from embedway_upstream import EmbeddingRequest, EmbeddingResponse, InvalidRequest, Service

__all__ = ["Shorten"]


class Shorten:
    """
    `sizes` are the model's matryoshka sizes; `full` tells its own, None while it is not known.

    Done here and not by the engines: some ignore `dimensions`, some cut without normalising.
    """

    def __init__(
        self,
        inner: Service[EmbeddingRequest, EmbeddingResponse],
        *,
        sizes: tuple[int, ...],
        full: Callable[[], int | None],
    ) -> None:
        self._inner = inner
        self._sizes = sizes
        self._full = full

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """The response in the dimensions asked for; `InvalidRequest` when they are not allowed."""
        wanted = request.dimensions
        if wanted is None:
            return await self._inner.send(request)
        full = self._full()
        if full is not None:
            self._require(wanted, full)
        response = await self._inner.send(replace(request, dimensions=None))
        self._require(wanted, response.vectors.shape[1])
        return replace(response, vectors=_cut(response.vectors, wanted))

    def _require(self, wanted: int, full: int) -> None:
        sizes = {size for size in self._sizes if size < full} | {full}
        if wanted in sizes:
            return
        allowed = ", ".join(str(size) for size in sorted(sizes))
        raise InvalidRequest(
            f"this model does not give {wanted} dimensions (allowed: {allowed})",
            param="dimensions",
        )


def _cut(vectors: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    if size == vectors.shape[1]:
        return vectors
    short = vectors[:, :size].copy()
    short /= np.maximum(np.linalg.norm(short, axis=1, keepdims=True), 1e-12)
    return short
