"""Decides whether what an upstream answered can be the vectors that were asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embedway_upstream.error import BadReply

if TYPE_CHECKING:
    from embedway_upstream.embedding import EmbeddingRequest, EmbeddingResponse

__all__ = ["check"]

# A vector this short has no direction: normalising it gives noise, or NaN.
_SHORTEST = 1e-6


def check(
    response: EmbeddingResponse, request: EmbeddingRequest, dimensions: int | None
) -> EmbeddingResponse:
    """
    Return the response as it came, or raise `BadReply`: one row an input, `dimensions` wide
    where that is known, every number finite, no row of zeros.
    """
    vectors = response.vectors
    if vectors.ndim != 2 or vectors.shape[0] != len(request.inputs):
        raise BadReply(f"the upstream gave {len(vectors)} vectors for {len(request.inputs)} inputs")
    if dimensions is not None and vectors.shape[1] != dimensions:
        raise BadReply(
            f"the upstream gave vectors of {vectors.shape[1]} dimensions; "
            f"{request.model!r} has {dimensions}"
        )
    # Squares summed: one pass that any NaN, infinity or row of zeros shows in.
    squares = np.einsum("ij,ij->i", vectors, vectors)
    if not np.isfinite(squares).all():
        raise BadReply("the upstream gave a vector with a number that is not finite")
    if squares.size and squares.min() < _SHORTEST**2:
        raise BadReply("the upstream gave a vector of zeros")
    return response
