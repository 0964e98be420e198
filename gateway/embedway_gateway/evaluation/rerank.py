"""Does a reranker put the best passages of a ranking into a better order?"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from embedway_gateway.evaluation.collection import Collection, entries
from embedway_gateway.evaluation.retrieve import Ranked, Run
from embedway_gateway.place.reranker import Reranker
from embedway_upstream.gather import gather

__all__ = ["rerank"]

_IN_FLIGHT = 4


async def rerank(
    reranker: Reranker,
    run: Run,
    collection: Collection,
    *,
    most: int,
    advance: Callable[[int], None] = lambda _count: None,
) -> Run:
    """
    The run with the first `most` passages of each query in the reranker's order, the rest behind
    them as they were. Reads the corpus once more; only those passages are in memory.
    `advance` counts queries. Raises an `EmbeddingError`.
    """
    begun = time.perf_counter()
    wanted = {name for found in run.rankings.values() for name, _ in found[:most]}
    corpus = entries(collection.places.corpus)
    texts = {entry.id: entry.text for entry in corpus if entry.id in wanted}

    async def one(query: str) -> tuple[str, Ranked]:
        found = run.rankings[query]
        order = await _ordered(reranker, collection.queries[query], found[:most], texts)
        advance(1)
        return query, _below(order, found[most:])

    pairs = await gather(map(one, collection.queries), most=_IN_FLIGHT)
    return replace(
        run,
        label=f"{run.label} → {reranker.label}",
        model=f"{run.model} → {reranker.model}",
        engine=f"{run.engine} → {reranker.engine}",
        rankings=dict(pairs),
        seconds=run.seconds + time.perf_counter() - begun,
    )


async def _ordered(
    reranker: Reranker, query: str, found: Ranked, texts: Mapping[str, str]
) -> Ranked:
    if not found:
        return ()
    names = [name for name, _ in found]
    scores = await reranker.score(query, [texts[name] for name in names])
    pairs = sorted(zip(scores, names, strict=True), reverse=True)
    return tuple((name, score) for score, name in pairs)


def _below(order: Ranked, rest: Ranked) -> Ranked:
    """Cosines are no relevances: only the places say that the rest comes after."""
    if not order:
        return rest
    least = order[-1][1]
    return order + tuple((name, least - place) for place, (name, _) in enumerate(rest, 1))
