"""What does an endpoint find? Embeds queries and passages, and keeps the best of each query."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from embedway_gateway.evaluation.collection import Collection
from embedway_gateway.evaluation.nearest import Nearest, absent
from embedway_gateway.place.place import Place
from embedway_gateway.place.rows import Rows, embed_rows
from embedway_upstream import BadReply

__all__ = ["Ranked", "Run", "retrieve"]

# Passages whose vectors are in memory at a time: 16 MB of a thousand numbers each.
_BLOCK = 4096

Advance = Callable[[int], None]
Ranked = tuple[tuple[str, float], ...]
"""Ids and scores of passages, the best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one endpoint found."""

    label: str
    model: str
    engine: str
    dimensions: int
    rankings: Mapping[str, Ranked]
    """By query; empty where the endpoint refused it."""
    refused_queries: int
    """Too long for the endpoint; they find nothing."""
    refused_passages: int
    """Too long for the endpoint; nothing finds them."""
    seconds: float


async def retrieve(
    place: Place,
    collection: Collection,
    *,
    most: int,
    drop_same_id: bool = False,
    advance: Advance = lambda _count: None,
) -> Run:
    """
    The `most` nearest passages of each query; without the one that has the query's own id, where
    `drop_same_id`. `advance` counts texts. Raises an `EmbeddingError`.
    """
    begun = time.perf_counter()
    asked = list(collection.queries.values())
    rows = await embed_rows(place, asked, input_type="query", advance=advance)
    _require_different(place, asked, rows.vectors)
    nearest = Nearest(rows.vectors, collection.order, most=most + drop_same_id)
    refused = 0
    for first, texts in _blocks(collection):
        vectors = await _embedded(place, texts, rows.vectors.shape[1], advance)
        if not first:
            _require_different(place, texts, vectors)
        refused += int(absent(vectors).sum()) - texts.count("")
        await asyncio.to_thread(nearest.add, vectors, first)
    return Run(
        label=place.label,
        model=place.model,
        engine=place.engine,
        dimensions=int(rows.vectors.shape[1]),
        rankings=_named(nearest, collection, most, drop_same_id=drop_same_id),
        refused_queries=int((~rows.present).sum()),
        refused_passages=refused,
        seconds=time.perf_counter() - begun,
    )


def _blocks(collection: Collection) -> Iterator[tuple[int, list[str]]]:
    texts, first = collection.texts(), 0
    while block := list(islice(texts, _BLOCK)):
        yield first, block
        first += len(block)


async def _embedded(
    place: Place, texts: Sequence[str], size: int, advance: Advance
) -> NDArray[np.float32]:
    """(n, size); the rows of empty and of refused texts are NaN."""
    vectors = np.full((len(texts), size), np.nan, np.float32)
    there = [index for index, text in enumerate(texts) if text]
    whole = [texts[index] for index in there]
    found = (await embed_rows(place, whole, input_type="document", advance=advance)).vectors
    advance(len(texts) - len(there))
    if found.shape[1] not in {0, size}:
        raise BadReply(
            f"queries have vectors of {size} numbers, and passages of {found.shape[1]}",
            upstream=place.label,
        )
    if found.shape[1]:
        vectors[there] = found
    return vectors


def _require_different(place: Place, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
    present = Rows(vectors).present
    if not present.any():
        raise BadReply("every text was refused as too long", upstream=place.label)
    rows = vectors[present]
    different = {text for text, there in zip(texts, present, strict=True) if there}
    if len(different) > 1 and np.array_equal(rows, np.broadcast_to(rows[0], rows.shape)):
        raise BadReply("different texts have the same vector", upstream=place.label)


def _named(
    nearest: Nearest, collection: Collection, most: int, *, drop_same_id: bool
) -> dict[str, Ranked]:
    by_rank = np.argsort(collection.order)
    named = {}
    for query, ranks, scores in zip(collection.queries, *nearest.ranked(), strict=True):
        names = [collection.ids[index] for index in by_rank[ranks]]
        pairs = zip(names, map(float, scores), strict=True)
        kept = [pair for pair in pairs if not drop_same_id or pair[0] != query]
        named[query] = tuple(kept[:most])
    return named
