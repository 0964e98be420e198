"""Is a difference more than chance? Intervals by bootstrap, and a paired randomisation test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Difference", "Estimate", "difference", "estimate"]

_DRAWS = 10_000
_CELLS = 4_000_000
_EQUAL = 1e-9

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over queries, and where it would lie in 95 % of other draws of as many queries."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """What the second has more than the first, query by query."""

    mean: Estimate
    p: float
    """How often chance alone makes a difference as large, were the two equally good."""
    better: int
    """Queries that the second answers better."""
    worse: int
    equal: int


def estimate(values: Values, *, seed: int = 1) -> Estimate:
    """By percentile bootstrap over the queries; `values` is (q,), at least one."""
    chance = np.random.default_rng(seed)
    size = len(values)

    def draw(count: int) -> Values:
        drawn: Values = values[chance.integers(0, size, (count, size))].mean(axis=1)
        return drawn

    low, high = np.percentile(_drawn(draw, size), (2.5, 97.5))
    return Estimate(float(values.mean()), float(low), float(high))


def difference(old: Values, new: Values, *, seed: int = 1) -> Difference:
    """
    Of the same queries. `p` is two-sided, from swapping the two in each query at random.

    The test is the one that Smucker, Allan and Carterette (2007) recommend for retrieval.
    """
    gained = new - old
    gained[np.abs(gained) < _EQUAL] = 0
    chance = np.random.default_rng(seed)
    size = len(gained)

    def swap(count: int) -> Values:
        signs = chance.integers(0, 2, (count, size), dtype=np.int8) * 2.0 - 1
        swapped: Values = signs @ gained / size
        return swapped

    extreme = np.abs(_drawn(swap, size)) >= abs(gained.mean()) - _EQUAL
    return Difference(
        mean=estimate(gained, seed=seed),
        # What was seen is one of the possible draws: p is never 0.
        p=float((extreme.sum() + 1) / (_DRAWS + 1)),
        better=int((gained > 0).sum()),
        worse=int((gained < 0).sum()),
        equal=int((gained == 0).sum()),
    )


def _drawn(draw: Callable[[int], Values], size: int) -> Values:
    """All draws, few enough at a time for any number of queries."""
    step = max(1, _CELLS // size)
    return np.concatenate(
        [draw(min(step, _DRAWS - start)) for start in range(0, _DRAWS, step)],
    )
