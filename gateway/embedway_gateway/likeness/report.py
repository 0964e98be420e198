"""What a comparison of two endpoints came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from embedway_gateway.likeness.measure import Lengths

__all__ = ["Report", "Spread", "Verdict", "spread_of"]

Verdict: TypeAlias = Literal["same", "different", "unclear"]

_EDGES = (1.0, 0.99999, 0.9999, 0.999, 0.99, 0.97, 0.9, 0.7, 0.0, -1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The cosines of the texts that both endpoints embedded."""

    count: int
    mean: float
    p1: float
    """One text in a hundred is below."""
    worst: float
    worst_index: int
    """The text's place among all, from 0."""
    histogram: tuple[tuple[float, int], ...]
    """How many are at least so large, and below the bin before; the best bin first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The verdict, its causes, and what it rests on. Holds no text."""

    verdict: Verdict
    words: str
    """The verdict as a sentence."""
    causes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    names: tuple[str, str]
    models: tuple[str, str]
    dimensions: tuple[int, int]
    texts: int
    refused: tuple[int, int] = (0, 0)
    """Texts that each refused as too long."""
    threshold: float
    cosine: Spread | None = None
    lengths: tuple[Lengths, Lengths] | None = None
    neighbours: int | None = None
    overlap: float | None = None
    """The share of so many nearest texts that both endpoints name."""
    values: tuple[float, ...] = field(default=(), repr=False)
    """The cosine of each text that both embedded."""


def spread_of(values: Sequence[float], places: Sequence[int]) -> Spread:
    """Of at least one cosine; `places` are the texts' own."""
    found = np.asarray(values)
    worst = int(found.argmin())
    bins = []
    above = np.inf
    for edge in _EDGES[1:]:
        bins.append((edge, int(((found >= edge) & (found < above)).sum())))
        above = edge
    return Spread(
        count=len(found),
        mean=float(found.mean()),
        p1=float(np.percentile(found, 1)),
        worst=float(found[worst]),
        worst_index=int(places[worst]),
        histogram=tuple(bins),
    )
