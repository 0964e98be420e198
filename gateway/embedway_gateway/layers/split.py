"""Cuts a request into pieces that the upstreams take, and puts the answers together."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np

from embedway_gateway.layers.bound import Bounds
from embedway_gateway.layers.piece import Pieces, too_long
from embedway_gateway.layers.retry import Budget
from embedway_upstream import BatchTooLarge, EmbeddingRequest, EmbeddingResponse, Service

__all__ = ["Split"]


class Split:
    """Each of the pieces, which `Pieces` makes, is retried alone."""

    def __init__(
        self,
        inner: Service[EmbeddingRequest, EmbeddingResponse],
        bounds: Callable[[], Bounds],
        budget: Budget,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._pieces: Pieces[EmbeddingResponse] = Pieces(bounds, budget, clock=clock)

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """One response, in the order of the inputs, its usage summed."""
        if len(request.inputs) == 1:
            # Cannot be cut, and is most of the traffic.
            try:
                return await self._inner.send(request)
            except BatchTooLarge as error:
                raise too_long(error) from error
        parts = await self._pieces.send(
            request.inputs,
            lambda texts: self._inner.send(replace(request, inputs=texts)),
            deadline=request.deadline,
        )
        return _join([part for _, part in parts])


def _join(parts: list[EmbeddingResponse]) -> EmbeddingResponse:
    if len(parts) == 1:
        return parts[0]
    return EmbeddingResponse(
        model=parts[0].model,
        vectors=np.concatenate([part.vectors for part in parts]),
        usage=reduce(add, (part.usage for part in parts)),
        # One name, because it labels metrics: of the upstream that is to be known, if there is one.
        served_by=next((part.served_by for part in parts if part.fallback), parts[0].served_by),
        truncated=sum(part.truncated for part in parts),
        fallback=any(part.fallback for part in parts),
    )
