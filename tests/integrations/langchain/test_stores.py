"""LangChain's vector stores find the right passages with vectors of the real gateway and model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from doubles.vector_stores import STORES, search
from embedway_local.retrieval_set import RetrievalSet, shipped_set


@pytest.fixture(scope="module")
def whole() -> RetrievalSet:
    """The set that is shipped, with every third of its queries."""
    shipped = shipped_set()
    names = sorted(shipped.queries)[::3]
    return replace(
        shipped,
        queries={name: shipped.queries[name] for name in names},
        judgements={name: shipped.judgements[name] for name in names},
    )


@pytest.fixture(scope="module")
def found(whole, gateway, model_in_store, tmp_path_factory) -> dict[str, Any]:
    return search(whole, model_in_store, gateway.base_url, tmp_path_factory.mktemp("stores"))


def _ndcg(whole: RetrievalSet, found: Mapping[str, list[str]]) -> float:
    """nDCG@10, the mean over the queries."""

    def gain(scores: list[int]) -> float:
        return sum(score / math.log2(place + 2) for place, score in enumerate(scores[:10]))

    shares = []
    for query, passages in found.items():
        judged = whole.judgements[query]
        best = gain(sorted(judged.values(), reverse=True))
        shares.append(gain([judged.get(passage, 0) for passage in passages]) / best)
    return sum(shares) / len(shares)


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("store", STORES)
def test_a_store_finds_the_right_passages(whole, found, store, way):
    quality = _ndcg(whole, found[store][way])

    assert all(len(passages) == 10 for passages in found[store][way].values())
    assert quality > 0.85
    # Exact search over the same vectors; what is approximate may miss one or the other.
    assert quality == pytest.approx(_ndcg(whole, found["memory"]["sync"]), abs=0.01)
