"""Decides whether what an upstream answered can be the vectors or scores that were asked for."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from embedway_upstream.error import BadReply, BadVector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embedway_upstream.embedding import EmbeddingRequest, EmbeddingResponse
    from embedway_upstream.rerank import RerankRequest, RerankResponse

__all__ = ["NOT_FINITE", "check", "check_rerank", "unusable"]

NOT_FINITE = "the upstream gave a vector with a number that is not finite"
_ZEROS = "the upstream gave a vector of zeros"

# A vector this short has no direction: normalising it gives noise, or NaN.
_SHORTEST = 1e-6


def check(
    response: EmbeddingResponse, request: EmbeddingRequest, dimensions: int | None
) -> EmbeddingResponse:
    """
    Return the response as it came, or raise `BadReply`: one row an input, `dimensions` wide
    where that is known, every number finite, no row of zeros. `BadVector` where only some texts,
    or the only one, have none.
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
    if not all(map(math.isfinite, squares)) or (squares and min(squares) < _SHORTEST**2):
        # Not so for NaN either, which is neither smaller nor larger.
        rows = [row for row, one in enumerate(squares) if not _SHORTEST**2 <= one < math.inf]
        what = _ZEROS if math.isfinite(squares[rows[0]]) else NOT_FINITE
        raise unusable(what, rows, len(squares))
    return response


def unusable(
    what: str, rows: Sequence[int], count: int, *, upstream: str | None = None, detail: str = ""
) -> BadReply:
    """
    What `rows` without a usable vector, of a reply to `count` texts, stand for. All of several are
    no longer about a text: that the upstream gives none at all, is its own defect.
    """
    if len(rows) == count > 1:
        return BadReply(f"{what} for every text", upstream=upstream, detail=detail)
    return BadVector(what, rows=rows, upstream=upstream, detail=detail)


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
