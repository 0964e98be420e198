"""Many texts through one endpoint: their vectors, and the texts that it refuses as too long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from embedway_gateway.place.place import Place
from embedway_upstream import EmbeddingError, InputTooLong
from embedway_upstream.embedding import InputType
from embedway_upstream.gather import gather
from embedway_upstream.part import counted_from

__all__ = ["Rows", "embed_rows", "patient"]

_IN_FLIGHT = 4
_TRIES = 4
_LONGEST_WAIT = 20.0

Found = list[NDArray[np.float32] | None]
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Rows:
    """float32 (n, d); the rows of refused texts are NaN, and all of them where d is 0."""

    vectors: NDArray[np.float32]

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which texts have a vector."""
        if not self.vectors.shape[1]:
            return np.zeros(len(self.vectors), bool)
        return np.array(~np.isnan(self.vectors).any(axis=1), bool)


async def embed_rows(
    place: Place,
    texts: Sequence[str],
    *,
    input_type: InputType | None = None,
    advance: Callable[[int], None] = lambda _count: None,
) -> Rows:
    """
    The vectors, a few calls at a time. What passes with time is tried again. Of a file of vectors
    those that it has, and none for any other input type.

    Raises the `EmbeddingError` of whatever else goes wrong than a text's length.
    """

    async def one(first: int) -> Found:
        part = texts[first : first + place.max_inputs]
        with counted_from(first):
            found = await _halved(place, part, input_type)
        advance(len(part))
        return found

    if place.stored is not None and input_type is None:
        advance(len(texts))
        return _rows(place.stored.rows(texts))
    starts = range(0, len(texts), place.max_inputs)
    parts = await gather(map(one, starts), most=_IN_FLIGHT)
    return _rows([row for part in parts for row in part])


def _rows(found: Found) -> Rows:
    size = next((row.shape[0] for row in found if row is not None), 0)
    vectors = np.full((len(found), size), np.nan, np.float32)
    for index, row in enumerate(found):
        if row is not None:
            vectors[index] = row
    return Rows(vectors)


async def _halved(place: Place, texts: Sequence[str], kind: InputType | None) -> Found:
    try:
        response = await patient(partial(place.send, texts, input_type=kind))
        return list(response.vectors)
    except InputTooLong:
        if len(texts) == 1:
            return [None]
    half = len(texts) // 2
    first = await _halved(place, texts[:half], kind)
    with counted_from(half):
        return first + await _halved(place, texts[half:], kind)


async def patient(call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Its answer; what passes with time is tried again. Raises the `EmbeddingError` that stays."""
    for tried in range(_TRIES):
        try:
            return await call()
        except EmbeddingError as error:
            most = _TRIES - 1 if error.most_retries is None else error.most_retries
            # Nobody listening will not change while someone waits at a terminal.
            if not error.retryable or tried >= most or _is_gone(error):
                raise
            wait = error.retry_after or 0.25 * 2**tried
            await asyncio.sleep(min(wait, _LONGEST_WAIT))
    raise AssertionError


def _is_gone(error: EmbeddingError) -> bool:
    return getattr(error, "reached", True) is False
