"""How good is what endpoints found, one beside the other?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedway_gateway.evaluation.collection import Collection
from embedway_gateway.evaluation.measure import Measure, score
from embedway_gateway.evaluation.retrieve import Run
from embedway_gateway.evaluation.significance import Difference, Estimate, difference, estimate

__all__ = ["Report", "Result", "report", "rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One endpoint's; the keys are measures, as `ndcg@10`."""

    label: str
    model: str
    engine: str
    dimensions: int
    scores: Mapping[str, Estimate]
    against_first: Mapping[str, Difference]
    """Empty for the first endpoint."""
    refused_queries: int
    refused_passages: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`values` are by measure and endpoint, one a query in the order of `queries`."""

    passages: int
    queries: tuple[str, ...]
    judgements: int
    results: tuple[Result, ...]
    values: Mapping[str, Sequence[NDArray[np.float64]]]
    notes: tuple[str, ...]


def report(
    collection: Collection, runs: Sequence[Run], measures: Sequence[Measure], *, seed: int = 1
) -> Report:
    """Compares each with the first; the same seed, the same intervals."""
    names = tuple(collection.queries)
    values = {
        str(measure): [_values(collection, run, measure) for run in runs] for measure in measures
    }
    results = tuple(
        Result(
            label=run.label,
            model=run.model,
            engine=run.engine,
            dimensions=run.dimensions,
            scores={name: estimate(one[index], seed=seed) for name, one in values.items()},
            against_first={
                name: difference(one[0], one[index], seed=seed)
                for name, one in values.items()
                if index
            },
            refused_queries=run.refused_queries,
            refused_passages=run.refused_passages,
            seconds=run.seconds,
        )
        for index, run in enumerate(runs)
    )
    return Report(
        passages=len(collection.ids),
        queries=names,
        judgements=sum(map(len, collection.judgements.values())),
        results=results,
        values=values,
        notes=tuple(_notes(collection, runs)),
    )


def rows(collection: Collection, runs: Sequence[Run], told: Report) -> Iterator[dict[str, object]]:
    """For each query and endpoint: its scores and what was found; never a text."""
    for number, query in enumerate(told.queries):
        for index, run in enumerate(runs):
            judged = collection.judgements[query]
            yield {
                "query": query,
                "endpoint": run.label,
                "scores": {name: float(one[index][number]) for name, one in told.values.items()},
                "ranking": [
                    {"id": name, "score": found, "relevance": judged.get(name, 0)}
                    for name, found in run.rankings[query]
                ],
            }


def _values(collection: Collection, run: Run, measure: Measure) -> NDArray[np.float64]:
    scores = []
    for query in collection.queries:
        ranked = [name for name, _ in run.rankings[query][: measure.at]]
        scores.append(score(measure, ranked, collection.judgements[query]))
    return np.asarray(scores, np.float64)


def _notes(collection: Collection, runs: Sequence[Run]) -> Iterator[str]:
    vain = sum(
        all(value <= 0 for value in scores.values()) for scores in collection.judgements.values()
    )
    if vain:
        yield f"{vain:,} queries have no relevant passage, and count as 0, as in BEIR"
    if collection.missing:
        yield f"{collection.missing:,} relevant passages are not in the corpus: none can find them"
    if collection.empty:
        yield f"{collection.empty:,} passages are empty, and are never found"
    if collection.unjudged:
        yield f"{collection.unjudged:,} queries are not judged, and were left out"
    for run in runs:
        if run.refused_queries:
            yield f"{run.label} refused {run.refused_queries:,} queries as too long: they count 0"
        if run.refused_passages:
            yield f"{run.label} refused {run.refused_passages:,} passages as too long: never found"
