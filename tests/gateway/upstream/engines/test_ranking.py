"""Scores put into order, and what is refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedway_upstream import BadReply, Usage
from embedway_upstream.check import check_rerank
from embedway_upstream.engines.ovms import OVMS
from embedway_upstream.engines.ranking import ranked
from embedway_upstream.engines.tei import TEI
from embedway_upstream.rerank import RerankRequest, RerankResponse, RerankResult

REQUEST = RerankRequest("m", "query", ("a", "b", "c"))
NONE = Usage(0, 0)


def response(*pairs: tuple[int, float]) -> RerankResponse:
    return RerankResponse("m", tuple(RerankResult(*pair) for pair in pairs), NONE, "x")


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=8), st.data())
def test_the_order_is_that_of_the_scores_however_they_came(
    scores: list[float], data: st.DataObject
) -> None:
    top_n = data.draw(st.none() | st.integers(1, 10))
    came = data.draw(st.permutations(list(enumerate(scores))))
    request = RerankRequest("m", "q", tuple("x" * len(scores)), top_n)

    found = ranked(came, request, NONE)

    expected = sorted(range(len(scores)), key=lambda index: (-scores[index], index))[:top_n]
    assert [result.index for result in found.results] == expected
    assert check_rerank(found, request) is found


@pytest.mark.parametrize(
    "scores",
    [
        [],
        [(0, 1.0), (1, 0.5)],
        [(0, 1.0), (1, 0.5), (1, 0.5)],
        [(0, 1.0), (1, 0.5), (2, 0.1), (2, 0.1)],
        [(0, 1.0), (1, 0.5), (3, 0.5)],
        [(0, 1.0), (1, 0.5), (-1, 0.5)],
        [(0, 1.0), (1, 0.5), (2, math.nan)],
        [(0, 1.0), (1, 0.5), (2, math.inf)],
    ],
)
@pytest.mark.parametrize("top_n", [None, 1])
def test_each_document_has_one_finite_score(
    scores: list[tuple[int, float]], top_n: int | None
) -> None:
    with pytest.raises(BadReply):
        ranked(scores, replace(REQUEST, top_n=top_n), NONE)


@pytest.mark.parametrize(
    "wrong",
    [
        response(),
        response((0, 0.9), (1, 0.8)),
        response((0, 0.9), (1, 0.8), (2, 0.7), (0, 0.6)),
        response((0, 0.9), (1, 0.8), (1, 0.7)),
        response((0, 0.9), (1, 0.8), (3, 0.7)),
        response((0, 0.9), (1, 0.8), (-1, 0.7)),
        response((0, 0.9), (1, 0.8), (2, math.nan)),
        response((0, math.inf), (1, 0.8), (2, 0.7)),
        response((0, 0.7), (1, 0.8), (2, 0.9)),
    ],
)
def test_the_leaf_refuses_what_is_no_ranking(wrong: RerankResponse) -> None:
    with pytest.raises(BadReply):
        check_rerank(wrong, REQUEST)


def test_top_n_beyond_the_documents_gives_all() -> None:
    right = response((2, 0.9), (1, 0.8), (0, 0.8))

    assert check_rerank(right, replace(REQUEST, top_n=9)) is right


def test_the_query_is_counted_with_every_document() -> None:
    body = json.dumps([{"index": index, "score": 0.5} for index in range(3)]).encode()

    assert TEI().decode_rerank(body, REQUEST).usage == Usage(9, 9, estimated=True)


def test_an_engine_that_applies_top_n_by_itself_is_found_out() -> None:
    body = json.dumps({"results": [{"index": 0, "relevance_score": 0.5}]}).encode()

    with pytest.raises(BadReply, match="1 scores for 3"):
        OVMS().decode_rerank(body, replace(REQUEST, top_n=1))
