"""Decides whether what an upstream answered can be the vectors or scores that were asked for."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from embedway_upstream.error import BadReply

if TYPE_CHECKING:
    from embedway_upstream.embedding import EmbeddingRequest, EmbeddingResponse
    from embedway_upstream.rerank import RerankRequest, RerankResponse

__all__ = ["check", "check_rerank"]

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
    # As Python's numbers: of the few that there are, NumPy's functions cost more than they do.
    squares: list[float]
    if len(vectors) == 1:
        # 0.5 instead of 1.4 µs: einsum first finds out what is asked.
        squares = [float(vectors[0].dot(vectors[0]))]
    else:
        squares = np.einsum("ij,ij->i", vectors, vectors).tolist()
    if not all(map(math.isfinite, squares)):
        raise BadReply("the upstream gave a vector with a number that is not finite")
    if squares and min(squares) < _SHORTEST**2:
        raise BadReply("the upstream gave a vector of zeros")
    return response


def check_rerank(response: RerankResponse, request: RerankRequest) -> RerankResponse:
    """
    Return the response as it came, or raise `BadReply`: as many results as were asked for, each of
    another document of the request, every score finite, the most relevant first.
    """
    count = len(request.documents)
    wanted = count if request.top_n is None else min(request.top_n, count)
    if len(response.results) != wanted:
        raise BadReply(f"the upstream gave {len(response.results)} results of {wanted}")
    places = {result.index for result in response.results}
    if len(places) != wanted or not places <= set(range(count)):
        raise BadReply("the upstream's results are not each of another document")
    scores = [result.relevance_score for result in response.results]
    if not all(math.isfinite(score) for score in scores):
        raise BadReply("the upstream gave a score that is not finite")
    if any(before < after for before, after in pairwise(scores)):
        raise BadReply("the upstream's results are not in the order of their scores")
    return response
