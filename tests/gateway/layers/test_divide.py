"""Divide: documents in pieces, put together by score."""

from __future__ import annotations

from dataclasses import replace

import pytest

from embedway_gateway.layers.bound import Bounds
from embedway_gateway.layers.capacity import Capacity, Load
from embedway_gateway.layers.divide import Divide
from embedway_gateway.layers.learn import Learn, documents_of
from embedway_gateway.layers.retry import Budget
from embedway_gateway.layers.route import Route, Target
from embedway_upstream import (
    BatchTooLarge,
    InputTooLong,
    RerankRequest,
    RerankResponse,
    RerankResult,
    UpstreamFailed,
    Usage,
)

TEXTS = tuple(f"text number {number:03}" for number in range(100))


class Ranker:
    """Scores a document by its number; refuses more than `most` at once."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.sizes: list[int] = []

    async def send(self, request: RerankRequest) -> RerankResponse:
        self.sizes.append(len(request.documents))
        if len(request.documents) > self.most:
            raise BatchTooLarge("x", limit=self.most)
        results = [
            RerankResult(index, float(document[-3:]) % 7)
            for index, document in enumerate(request.documents)
        ]
        results.sort(key=lambda result: -result.relevance_score)
        usage = Usage(len(results), len(results))
        return RerankResponse("m", tuple(results[: request.top_n]), usage, "fake")


@pytest.mark.parametrize("top_n", [None, 1, 9])
async def test_documents_are_cut_again_and_put_together_by_score(top_n: int | None) -> None:
    capacity, inner = Capacity(), Ranker(32)
    learn = Learn(inner, capacity, documents_of)
    route = Route([Target("up", learn, capacity=capacity)])
    divide = Divide(route, route.bounds, Budget())
    request = RerankRequest("m", "query", TEXTS, top_n)

    whole = await Ranker(100).send(request)
    for expected in ([100, 32, 32, 32, 4], [32, 32, 32, 4]):
        inner.sizes.clear()
        response = await divide.send(request)

        assert whole.results == response.results
        assert whole.usage == response.usage
        assert expected == inner.sizes


async def test_a_limit_that_is_told_is_heeded_at_once() -> None:
    inner = Ranker(32)

    await Divide(inner, Bounds, Budget()).send(RerankRequest("m", "query", TEXTS))

    assert [100, 32, 32, 32, 4] == inner.sizes


def test_the_query_is_read_with_each_document() -> None:
    assert Load(3, 9 + 3 * 5) == documents_of(RerankRequest("m", "query", ("one", "two", "six")))


async def test_one_document_that_is_too_large_is_too_long() -> None:
    divide = Divide(Ranker(0), Bounds, Budget())

    with pytest.raises(InputTooLong, match="send it in parts"):
        await divide.send(RerankRequest("m", "query", TEXTS[:3]))


@pytest.mark.parametrize(("other", "comparable"), [("tei", True), ("local", False)])
async def test_scores_of_several_engines_are_not_put_together(
    *, other: str, comparable: bool
) -> None:
    """As when a fallback takes over between two pieces: its scores may be on another scale."""

    class Changing(Ranker):
        async def send(self, request: RerankRequest) -> RerankResponse:
            name = "two" if TEXTS[-1] in request.documents else "one"
            return replace(await super().send(request), served_by=name)

    capacity, inner = Capacity(), Changing(32)
    route = Route([Target("up", Learn(inner, capacity, documents_of), capacity=capacity)])
    engines = {"one": "tei", "two": other}
    divide = Divide(route, route.bounds, Budget(), engines=engines)
    request = RerankRequest("m", "query", TEXTS)

    if comparable:
        assert (await Ranker(100).send(request)).results == (await divide.send(request)).results
        return
    with pytest.raises(UpstreamFailed, match=r"several engines \(local, tei\)") as caught:
        await divide.send(request)
    assert caught.value.retryable
