"""Sends texts in pieces that the upstreams take, and cuts again what was still too much."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from embedway_gateway.layers.bound import Bounds
from embedway_gateway.layers.retry import Budget
from embedway_upstream import BadVector, BatchTooLarge, InputTooLong, UpstreamTimeout
from embedway_upstream.gather import gather

__all__ = ["Pieces", "too_long"]

Reply = TypeVar("Reply")

# Never more than one upstream lets wait, or a large request would refuse itself.
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class _Piece:
    start: int
    texts: tuple[str, ...]
    bounds: Bounds
    """What it was cut to."""

    def cut(self, bounds: Bounds, along: str) -> list[_Piece]:
        pieces, start = [], self.start
        for texts in bounds.pieces(self.texts, along=along):
            pieces.append(_Piece(start, texts, bounds))
            start += len(texts)
        return pieces


@dataclass(frozen=True, slots=True)
class _Cut:
    pieces: list[_Piece]


class Pieces(Generic[Reply]):
    """
    Pieces run at once. One that meets `BatchTooLarge`, or a timeout that fewer texts might not,
    is cut and goes on, and so is one that bounds have shrunk below before its turn came; for a
    timeout that takes a retry out of `budget`. `bounds` are read again for each piece.
    """

    def __init__(
        self,
        bounds: Callable[[], Bounds],
        budget: Budget,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bounds = bounds
        self._budget = budget
        self._clock = clock

    async def send(
        self,
        texts: tuple[str, ...],
        one: Callable[[tuple[str, ...]], Awaitable[Reply]],
        *,
        along: str = "",
        deadline: float | None = None,
    ) -> list[tuple[int, Reply]]:
        """
        The reply of each piece, by the number of its first text and in that order; `along` as in
        `Bounds`. Raises the first error bare, `InputTooLong` for a text that is too large alone,
        and has a `BadVector` count from the first text of all.
        """
        bounds = self._bounds()
        whole = _Piece(0, texts, bounds)
        found: dict[int, Reply] = {}
        todo = whole.cut(bounds, along)
        while todo:
            asked = [self._ask(piece, one, along, deadline) for piece in todo]
            answers = [await asked[0]] if len(asked) == 1 else await gather(asked, most=_AT_ONCE)
            again: list[_Piece] = []
            for piece, answer in zip(todo, answers, strict=True):
                if isinstance(answer, _Cut):
                    again += answer.pieces
                else:
                    found[piece.start] = answer
            todo = again
        return sorted(found.items(), key=lambda item: item[0])

    async def _ask(
        self,
        piece: _Piece,
        one: Callable[[tuple[str, ...]], Awaitable[Reply]],
        along: str,
        deadline: float | None,
    ) -> Reply | _Cut:
        bounds = self._bounds()
        if bounds != piece.bounds and len(smaller := piece.cut(bounds, along)) > 1:
            return _Cut(smaller)
        count = len(piece.texts)
        try:
            return await one(piece.texts)
        except BatchTooLarge as error:
            if count == 1:
                raise too_long(error) from error
            most = error.limit if error.limit and error.limit < count else (count + 1) // 2
        except BadVector as error:
            error.count(piece.start + row for row in error.rows)
            raise
        except UpstreamTimeout as error:
            late = deadline is not None and self._clock() >= deadline
            if not error.fewer_may_pass or count == 1 or late or not self._budget.take():
                raise
            most = (count + 1) // 2
        bounds = self._bounds().least(Bounds(max_inputs=most))
        return _Cut(piece.cut(bounds, along))


def too_long(error: BatchTooLarge) -> InputTooLong:
    """What is said of a text that is too large alone."""
    return InputTooLong(
        "a text is larger than the upstream takes at once; send it in parts",
        param=error.param,
        code=error.code,
        upstream=error.upstream,
        detail=error.detail,
    )
