"""Cuts a request into pieces that the upstreams take, and puts the answers together."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import reduce
from operator import add

import msgspec
import numpy as np

from embedway_upstream import EmbeddingRequest, EmbeddingResponse, Service
from embedway_upstream.gather import gather

__all__ = ["Split"]

_AT_ONCE = 16
# What a body holds beside the texts: the model's name and a few fields.
_ENVELOPE = 4096
# Of JSON: a control character is written as \\u0000.
_LARGEST_CHARACTER = 6

_encode = msgspec.json.Encoder().encode


class Split:
    """
    No piece has more than `max_inputs` texts, or a body of more than `max_bytes`; pieces run at
    once, and each is retried alone. A text that is too large alone makes a piece of its own,
    which the upstream refuses.
    """

    def __init__(
        self,
        inner: Service[EmbeddingRequest, EmbeddingResponse],
        *,
        max_inputs: int | None = None,
        max_bytes: int | None = None,
    ) -> None:
        self._inner = inner
        self._max_inputs = max_inputs or sys.maxsize
        self._max_bytes = (max_bytes or sys.maxsize) - _ENVELOPE

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """One response, in the order of the inputs, its usage summed."""
        pieces = self._pieces(request.inputs)
        if len(pieces) == 1:
            return await self._inner.send(request)
        requests = [replace(request, inputs=piece) for piece in pieces]
        # Never more than one upstream lets wait, or a large request would refuse itself.
        parts = (self._inner.send(piece) for piece in requests)
        return _join(await gather(parts, most=_AT_ONCE))

    def _pieces(self, inputs: tuple[str, ...]) -> list[tuple[str, ...]]:
        most = self._max_inputs
        if sum(map(len, inputs)) * _LARGEST_CHARACTER <= self._max_bytes:
            # Small beyond doubt, as nearly always: only the number of texts matters.
            return [inputs[start : start + most] for start in range(0, len(inputs), most)]
        pieces: list[tuple[str, ...]] = []
        start = size = 0
        for index, text in enumerate(inputs):
            more = len(_encode(text)) + 1
            if index > start and (size + more > self._max_bytes or index - start == most):
                pieces.append(inputs[start:index])
                start, size = index, 0
            size += more
        return [*pieces, inputs[start:]]


def _join(parts: list[EmbeddingResponse]) -> EmbeddingResponse:
    return EmbeddingResponse(
        model=parts[0].model,
        vectors=np.concatenate([part.vectors for part in parts]),
        usage=reduce(add, (part.usage for part in parts)),
        # One name, because it labels metrics: of the upstream that is to be known, if there is one.
        served_by=next((part.served_by for part in parts if part.fallback), parts[0].served_by),
        truncated=sum(part.truncated for part in parts),
        fallback=any(part.fallback for part in parts),
    )
