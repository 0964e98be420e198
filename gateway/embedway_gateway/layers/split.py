"""Cuts a request into pieces that the upstreams take, and puts the answers together."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np

from embedway_gateway.layers.gather import gather
from embedway_upstream import EmbeddingRequest, EmbeddingResponse, Service

__all__ = ["Split"]


class Split:
    """No piece has more than `max_inputs` texts; pieces run at once, and each is retried alone."""

    def __init__(
        self, inner: Service[EmbeddingRequest, EmbeddingResponse], *, max_inputs: int
    ) -> None:
        self._inner = inner
        self._max_inputs = max_inputs

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """One response, in the order of the inputs, its usage summed."""
        size = self._max_inputs
        if len(request.inputs) <= size:
            return await self._inner.send(request)
        pieces = [
            replace(request, inputs=request.inputs[start : start + size])
            for start in range(0, len(request.inputs), size)
        ]
        return _join(await gather(self._inner.send(piece) for piece in pieces))


def _join(parts: list[EmbeddingResponse]) -> EmbeddingResponse:
    served = dict.fromkeys(part.served_by for part in parts)
    return EmbeddingResponse(
        model=parts[0].model,
        vectors=np.concatenate([part.vectors for part in parts]),
        usage=reduce(add, (part.usage for part in parts)),
        served_by=",".join(served),
        truncated=sum(part.truncated for part in parts),
        fallback=any(part.fallback for part in parts),
    )
