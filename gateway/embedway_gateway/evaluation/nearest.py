"""Which passages are nearest to each query? Exact, while the passages pass by in blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embedway_gateway.likeness.measure import unit

__all__ = ["Nearest", "absent"]

_CELLS = 4_000_000
_LOW = np.int64(0xFFFFFFFF)
# Below every key; its negative is a number as well.
_ABSENT = np.int64(-(2**63) + 1)


class Nearest:
    """
    The best `most` passages of each query by cosine. Of equal scores the greater id comes first,
    as trec_eval has it, so that its numbers can be had from this ranking again.

    `queries`: float32 (q, d); rows of NaN find nothing. `order`: int64 (n,), where each passage
    stands among all ids, sorted. Memory: the queries, their best, and one block's scores.
    """

    def __init__(
        self, queries: NDArray[np.float32], order: NDArray[np.int64], *, most: int
    ) -> None:
        self._absent = absent(queries)
        self._queries = unit(np.where(self._absent[:, None], np.float32(0), queries))
        self._order = order
        self._most = most
        # A passage and its score in one number, so that the best are found by one comparison.
        self._best = np.empty((len(queries), 0), np.int64)

    def add(self, passages: NDArray[np.float32], first: int) -> None:
        """The vectors of the passages from `first` on, (m, d); rows of NaN are never found."""
        kept = ~absent(passages)
        rows = unit(passages[kept])
        ranks = self._order[first : first + len(passages)][kept]
        step = max(1, _CELLS // max(len(rows) + self._most, 1))
        parts = [
            self._better(slice(start, start + step), rows, ranks)
            for start in range(0, len(self._queries), step)
        ]
        self._best = np.concatenate(parts) if parts else self._best

    def ranked(self) -> tuple[list[NDArray[np.int64]], list[NDArray[np.float32]]]:
        """By query, the best first: where the passage's id stands among all, and its cosine."""
        best = -np.sort(-self._best, axis=1)
        found = [row[row > _ABSENT] for row in best]
        return [row & _LOW for row in found], [_score(row) for row in found]

    def _better(
        self, part: slice, rows: NDArray[np.float32], ranks: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        keys = _key(self._queries[part] @ rows.T, ranks)
        keys[self._absent[part]] = _ABSENT
        both = np.concatenate([self._best[part], keys], axis=1)
        if both.shape[1] <= self._most:
            return both
        cut = both.shape[1] - self._most
        return np.partition(both, cut, axis=1)[:, cut:]


def absent(rows: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which rows have no vector: those with NaN in them."""
    return np.asarray(np.isnan(rows).any(axis=1), bool)


def _key(scores: NDArray[np.float32], ranks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ordered as the scores are, and as the ranks where those are equal."""
    # Adding 0 makes -0.0 the 0.0 that it equals. A float's bits are ordered as it is, but for the
    # negative ones, which are ordered the other way round.
    bits = (scores + np.float32(0)).view(np.int32)
    ordered = bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))
    return (ordered.astype(np.int64) << 32) | ranks


def _score(keys: NDArray[np.int64]) -> NDArray[np.float32]:
    ordered = (keys >> 32).astype(np.int32)
    return (ordered ^ ((ordered >> 31) & np.int32(0x7FFFFFFF))).view(np.float32)
