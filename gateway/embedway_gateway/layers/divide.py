"""Cuts the documents of a rerank request into pieces that the upstreams take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import add

from embedway_gateway.layers.bound import Bounds
from embedway_gateway.layers.piece import Pieces
from embedway_gateway.layers.retry import Budget
from embedway_upstream import (
    RerankRequest,
    RerankResponse,
    RerankResult,
    Service,
    UpstreamFailed,
)

__all__ = ["Divide"]


class Divide:
    """
    Each document is scored against the query alone, so that the pieces, which `Pieces` makes, can
    be put together by score, where one engine has scored them all. `engines`: by upstream.
    """

    def __init__(
        self,
        inner: Service[RerankRequest, RerankResponse],
        bounds: Callable[[], Bounds],
        budget: Budget,
        *,
        engines: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._engines = engines or {}
        self._pieces: Pieces[RerankResponse] = Pieces(bounds, budget, clock=clock)

    async def send(self, request: RerankRequest) -> RerankResponse:
        """
        One response: the best `top_n` of all pieces, of equal scores the earlier first.

        Raises `UpstreamFailed` for scores of several engines, which may be on several scales: a
        logit of 3 is not more relevant than a probability of 0.99.
        """
        parts = await self._pieces.send(
            request.documents,
            lambda documents: self._inner.send(replace(request, documents=documents)),
            along=request.query,
            deadline=request.deadline,
        )
        if len(parts) == 1:
            return parts[0][1]
        self._require_one_engine([part for _, part in parts])
        results = [
            RerankResult(start + result.index, result.relevance_score)
            for start, part in parts
            for result in part.results
        ]
        results.sort(key=lambda result: (-result.relevance_score, result.index))
        replies = [part for _, part in parts]
        return RerankResponse(
            model=request.model,
            results=tuple(results[: request.top_n]),
            usage=reduce(add, (part.usage for part in replies)),
            served_by=next(
                (part.served_by for part in replies if part.fallback), replies[0].served_by
            ),
            fallback=any(part.fallback for part in replies),
        )

    def _require_one_engine(self, parts: Sequence[RerankResponse]) -> None:
        served = {part.served_by for part in parts}
        found = sorted({self._engines[name] for name in served if name in self._engines})
        if len(found) > 1:
            raise UpstreamFailed(
                f"the documents were scored in pieces by several engines ({', '.join(found)}), and "
                "their scores cannot be compared; rank fewer documents at once, or serve the model "
                "with one engine"
            )
