"""Puts the scores of an engine's reply into the order of relevance, when they can be right."""

from __future__ import annotations

import math
from collections.abc import Iterable

from embedway_upstream.embedding import Usage
from embedway_upstream.engines.usage import estimate
from embedway_upstream.error import BadReply
from embedway_upstream.rerank import RerankRequest, RerankResponse, RerankResult

__all__ = ["ranked", "reading"]


def ranked(
    scores: Iterable[tuple[int, float]], request: RerankRequest, usage: Usage
) -> RerankResponse:
    """
    The best `top_n`, of equal scores the earlier document first.

    `BadReply` unless every document has one finite score: no engine is asked for `top_n`, so that
    a document that is missing shows.
    """
    found = dict.fromkeys(range(len(request.documents)), math.nan)
    given = 0
    for index, score in scores:
        if not math.isnan(found.get(index, 0.0)):
            raise BadReply("the upstream's scores are not numbered 0 to n-1, each once")
        if not math.isfinite(score):
            raise BadReply("the upstream gave a score that is not finite")
        found[index] = score
        given += 1
    if given != len(found):
        raise BadReply(f"the upstream gave {given} scores for {len(found)} documents")
    order = sorted(found.items(), key=lambda one: (-one[1], one[0]))
    results = tuple(RerankResult(index, score) for index, score in order[: request.top_n])
    return RerankResponse(request.model, results, usage, served_by="")


def reading(request: RerankRequest) -> Usage:
    """An estimate of the tokens read: a cross-encoder reads the query with every document."""
    return estimate(text for document in request.documents for text in (request.query, document))
