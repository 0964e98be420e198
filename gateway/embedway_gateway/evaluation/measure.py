"""How good is a ranking? nDCG, recall, MRR, MAP, precision and hits, as trec_eval computes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["MEASURES", "Measure", "parse_measures", "score"]


@dataclass(frozen=True, slots=True)
class _Ranking:
    """Gains in the order of the ranking, and all that could be gained, the most first."""

    gains: Sequence[int]
    ideal: Sequence[int]


def _ndcg(ranking: _Ranking, at: int) -> float:
    return _gain(ranking.gains[:at]) / _gain(ranking.ideal[:at])


def _gain(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(place + 2) for place, gain in enumerate(gains))


def _recall(ranking: _Ranking, at: int) -> float:
    return _found(ranking, at) / len(ranking.ideal)


def _precision(ranking: _Ranking, at: int) -> float:
    return _found(ranking, at) / at


def _hits(ranking: _Ranking, at: int) -> float:
    return float(_found(ranking, at) > 0)


def _found(ranking: _Ranking, at: int) -> int:
    return sum(gain > 0 for gain in ranking.gains[:at])


def _mrr(ranking: _Ranking, at: int) -> float:
    places = (place for place, gain in enumerate(ranking.gains[:at], 1) if gain)
    first = next(places, None)
    return 0.0 if first is None else 1 / first


def _map(ranking: _Ranking, at: int) -> float:
    total, found = 0.0, 0
    for place, gain in enumerate(ranking.gains[:at], 1):
        if gain:
            found += 1
            total += found / place
    return total / len(ranking.ideal)


MEASURES: Mapping[str, Callable[[_Ranking, int], float]] = MappingProxyType(
    {
        "ndcg": _ndcg,
        "recall": _recall,
        "mrr": _mrr,
        "map": _map,
        "precision": _precision,
        "hits": _hits,
    }
)
"""`ndcg` has the judgements themselves as gains; `hits` is 1 where anything relevant was found."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One of `MEASURES`, of the first `at` passages."""

    name: str
    at: int

    def __str__(self) -> str:
        return f"{self.name}@{self.at}"


def parse_measures(written: str) -> tuple[Measure, ...]:
    """Such as `ndcg@10,recall@100`; raises `ValueError`."""
    found = []
    for part in written.split(","):
        name, _, at = part.strip().lower().partition("@")
        if name not in MEASURES or not at.isascii() or not at.isdigit() or int(at) < 1:
            known = ", ".join(f"{one}@K" for one in MEASURES)
            raise ValueError(f"{part.strip()!r} is no measure; known are {known}")
        found.append(Measure(name, int(at)))
    return tuple(dict.fromkeys(found))


def score(measure: Measure, ranked: Sequence[str], judged: Mapping[str, int]) -> float:
    """
    Of one query: the ids that were found, the best first, and what is judged of it. 0 where
    nothing is judged relevant; a negative judgement is as 0.
    """
    ideal = sorted((value for value in judged.values() if value > 0), reverse=True)
    if not ideal:
        return 0.0
    gains = [max(judged.get(name, 0), 0) for name in ranked[: measure.at]]
    return MEASURES[measure.name](_Ranking(gains, ideal), measure.at)
