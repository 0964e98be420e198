"""Engine `litellm`: right scores from a provider, or an error."""

from __future__ import annotations

from typing import Any

import pytest

from doubles.cohere_upstream import CohereUpstream
from doubles.rerank_upstream import relevance
from embedway_gateway.hosted.library import Library, LiteLLM
from embedway_gateway.hosted.service import Account, HostedRerank
from embedway_upstream import BadReply, RerankRequest, Usage

DOCUMENTS = ("one", "two", "three four")
REQUEST = RerankRequest("ours", "why?", DOCUMENTS)


async def test_scores_are_of_their_documents_the_best_first(
    reranker: Any, cohere: CohereUpstream
) -> None:
    response = await reranker.send(REQUEST)

    wanted = sorted(
        ((relevance("why?", text), index) for index, text in enumerate(DOCUMENTS)), reverse=True
    )
    assert wanted == [(one.relevance_score, one.index) for one in response.results]
    assert ("ours", "up") == (response.model, response.served_by)
    assert response.usage.estimated
    body = {"model": "rerank-v3.5", "query": "why?", "documents": list(DOCUMENTS)}
    assert [("/v2/rerank", body)] == [(seen.path, seen.body) for seen in cohere.seen]


async def test_only_the_best_are_given(reranker: Any) -> None:
    response = await reranker.send(RerankRequest("ours", "why?", DOCUMENTS, top_n=1))

    assert 1 == len(response.results)


@pytest.mark.parametrize("fault", ["dropped", "duplicated", "nan", "html"])
async def test_what_cannot_be_the_scores_is_refused(
    reranker: Any, cohere: CohereUpstream, fault: str
) -> None:
    cohere.faults.append(fault)

    with pytest.raises(BadReply) as caught:
        await reranker.send(REQUEST)

    assert "up" == caught.value.upstream


@pytest.mark.parametrize(
    ("meta", "usage"),
    [
        ({"tokens": {"input_tokens": 7}}, Usage(7, 7)),
        ({"billed_units": {"total_tokens": 9}}, Usage(9, 9)),
        ({"billed_units": {"search_units": 1}}, Usage(2, 2, estimated=True)),
        (None, Usage(2, 2, estimated=True)),
    ],
)
async def test_usage_is_what_the_provider_counts(meta: object, usage: Usage) -> None:
    class Counting:
        async def aembedding(self, **asked: object) -> object:
            raise AssertionError

        async def arerank(self, **asked: object) -> object:
            return {"results": [{"index": 0, "relevance_score": 0.5}], "meta": meta}

    def open_() -> LiteLLM:
        return Counting()

    account = Account(name="up", model="cohere/rerank-v3.5")
    reranker = HostedRerank(account, Library("up", open_=open_))

    response = await reranker.send(RerankRequest("ours", "why?", ("one",)))

    assert usage == response.usage
