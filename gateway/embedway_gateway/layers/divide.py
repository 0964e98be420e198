"""Cuts the documents of a rerank request into pieces that the upstreams take."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import add

from embedway_upstream import RerankRequest, RerankResponse, RerankResult, Service
from embedway_upstream.gather import gather

__all__ = ["Divide"]

# Never more than one upstream lets wait, or a large request would refuse itself.
_AT_ONCE = 16


class Divide:
    """
    No piece has more than `max_documents`. Each document is scored against the query alone, so
    that pieces, which run at once, can be put together by score.
    """

    def __init__(
        self, inner: Service[RerankRequest, RerankResponse], *, max_documents: int
    ) -> None:
        self._inner = inner
        self._max_documents = max_documents

    async def send(self, request: RerankRequest) -> RerankResponse:
        """One response: the best `top_n` of all pieces, of equal scores the earlier first."""
        size = self._max_documents
        if len(request.documents) <= size:
            return await self._inner.send(request)
        starts = range(0, len(request.documents), size)
        pieces = (request.documents[start : start + size] for start in starts)
        parts = await gather(
            (self._inner.send(replace(request, documents=piece)) for piece in pieces),
            most=_AT_ONCE,
        )
        results = [
            RerankResult(start + result.index, result.relevance_score)
            for start, part in zip(starts, parts, strict=True)
            for result in part.results
        ]
        results.sort(key=lambda result: (-result.relevance_score, result.index))
        return RerankResponse(
            model=request.model,
            results=tuple(results[: request.top_n]),
            usage=reduce(add, (part.usage for part in parts)),
            served_by=next((part.served_by for part in parts if part.fallback), parts[0].served_by),
            fallback=any(part.fallback for part in parts),
        )
