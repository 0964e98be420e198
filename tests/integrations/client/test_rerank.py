"""Reranking through a gateway, at a deployment and in this process: order, checks, retries."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from doubles.rerank_upstream import RerankUpstream, relevance
from doubles.serving import served
from embedway_client import AuthenticationFailed, Client, RerankResult
from embedway_client.ranker import _joined, _Part
from embedway_gateway.config.schema import Config
from embedway_gateway.web.app import create_app
from embedway_gateway.web.rerank import MAX_DOCUMENTS
from embedway_local import LocalReranker, ModelUnsupported
from embedway_upstream import (
    BadReply,
    InvalidRequest,
    RateLimited,
    RerankRequest,
    RerankResponse,
    UpstreamFailed,
    UpstreamUnreachable,
    Usage,
)

DOCUMENTS = ["one", "two", "three", "four", "five"]
LARGE = ["x" * 1_500_000, "y" * 1_500_000, "z" * 1_500_000]  # Of 4 MiB in one request.
RERANKER = Path(__file__).parents[2] / "local_runtime" / "reference" / "rerankers" / "bert"
PAIRS = json.loads((RERANKER.parent / "pairs.json").read_text())

Rank = Callable[..., list[RerankResult]]


@pytest.fixture(params=["sync", "async"])
def rank(request: pytest.FixtureRequest) -> Rank:
    if request.param == "sync":
        return Client.rerank

    def run(client: Client, *given: Any, **options: Any) -> list[RerankResult]:
        return asyncio.run(client.arerank(*given, **options))

    return run


@pytest.fixture
def ranking(server):
    """The server, as one that reranks."""
    server.vectors = RerankUpstream()
    return server


def _expected(query: str, documents: list[str]) -> list[int]:
    return sorted(range(len(documents)), key=lambda i: -relevance(query, documents[i]))


def test_the_most_relevant_comes_first_with_its_number_and_score(ranking, rank):
    with Client("m", base_url=ranking.url, api_key="k") as client:
        results = rank(client, "q", DOCUMENTS)

    assert [result.index for result in results] == _expected("q", DOCUMENTS)
    assert all(r.relevance_score == relevance("q", DOCUMENTS[r.index]) for r in results)
    assert ranking.asked[0][0] == "/v1/rerank"
    assert ranking.asked[0][1]["authorization"] == "Bearer k"
    assert ranking.bodies == [{"model": "m", "query": "q", "documents": DOCUMENTS}]


def test_scores_of_a_fallback_are_not_put_among_others(ranking, rank):
    """It may be another engine, with scores on another scale."""

    class Once(dict[str, str]):
        def items(self):
            told = {"x-embedway-fallback": "local"} if len(ranking.bodies) == 2 else {}
            return told.items()

    ranking.headers = Once()
    with (
        Client("m", base_url=ranking.url, max_concurrency=1) as client,
        pytest.raises(UpstreamFailed, match="cannot be compared"),
    ):
        rank(client, "q", LARGE)


@pytest.mark.parametrize("fewer", [True, False])
def test_scores_of_different_upstreams_are_not_put_among_each_other(ranking, rank, fewer):
    """Their engines may differ, of which only the gateway knows."""

    class Turns(dict[str, str]):
        def items(self):
            return {"x-embedway-upstream": f"up-{len(ranking.bodies)}"}.items()

    ranking.headers = Turns()
    with Client("m", base_url=ranking.url, max_concurrency=1) as client:
        if fewer:
            assert len(rank(client, "q", LARGE[:1] * 2)) == 2
        else:
            with pytest.raises(UpstreamFailed, match=r"up-1, up-2.* rank fewer documents"):
                rank(client, "q", LARGE)


@pytest.mark.parametrize(
    ("engines", "comparable"),
    [(("tei", "tei"), True), (("tei", "vllm"), False), (("tei", None), False)],
)
def test_scores_of_one_engine_are_put_together_whichever_upstream_gave_them(
    ranking, rank, engines, comparable
):
    class Turns(dict[str, str]):
        def items(self):
            number = len(ranking.bodies)
            told = {"x-embedway-upstream": f"up-{number}", "x-embedway-engine": engines[number - 1]}
            if number == 2:
                told["x-embedway-fallback"] = "up-2"
            return {name: value for name, value in told.items() if value}.items()

    ranking.headers = Turns()
    with Client("m", base_url=ranking.url, max_concurrency=1) as client:
        if comparable:
            found = [result.index for result in rank(client, "q", LARGE)]
            assert found == _expected("q", LARGE)
            assert len(ranking.bodies) == 2
        else:
            with pytest.raises(UpstreamFailed, match="cannot be compared"):
                rank(client, "q", LARGE)


def test_one_upstream_may_answer_several_requests(ranking, rank):
    ranking.headers["x-embedway-upstream"] = "up"
    with Client("m", base_url=ranking.url) as client:
        assert [result.index for result in rank(client, "q", LARGE)] == _expected("q", LARGE)

    assert len(ranking.bodies) == 2


def test_top_n_gives_the_best_of_all(ranking, rank):
    with Client("m", base_url=ranking.url) as client:
        assert [r.index for r in rank(client, "q", DOCUMENTS, top_n=2)] == _expected(
            "q", DOCUMENTS
        )[:2]
        assert len(rank(client, "q", DOCUMENTS, top_n=99)) == 5


def test_a_server_is_sent_as_many_documents_as_a_gateway_takes(ranking, rank):
    many = [f"document {number}" for number in range(10_002)]
    with Client("m", base_url=ranking.url, batch_size=5) as client:
        results = rank(client, "q", many, top_n=3)

    assert sorted(len(body["documents"]) for body in ranking.bodies) == [2, MAX_DOCUMENTS]
    assert [result.index for result in results] == _expected("q", many)[:3]


def test_a_deployment_is_sent_batch_size_documents_at_once(rank):
    upstream = RerankUpstream(tei=True)
    with (
        served(upstream) as address,
        Client.direct(model="m", url=address, batch_size=2) as client,
    ):
        results = rank(client, "q", DOCUMENTS, top_n=3)

    assert sorted(len(body["texts"]) for body in upstream.seen) == [1, 2, 2]
    assert [result.index for result in results] == _expected("q", DOCUMENTS)[:3]


def test_large_documents_are_cut_by_bytes_with_the_query(ranking, rank):
    with Client("m", base_url=ranking.url) as client:
        rank(client, "q" * 2_000_000, ["x" * 1_500_000, "y" * 1_500_000, "z"])

    assert sorted(len(body["documents"]) for body in ranking.bodies) == [1, 2]


def test_no_documents_need_no_request(ranking, rank):
    with Client("m", base_url=ranking.url) as client:
        assert rank(client, "q", []) == []
    assert ranking.requests == 0


@pytest.mark.parametrize("fault", ["dropped", "duplicated", "misnumbered", "nan", "huge"])
def test_a_reply_that_cannot_be_right_is_refused(ranking, rank, fault):
    ranking.vectors.faults.append(fault)
    with (
        Client("m", base_url=ranking.url, max_retries=0) as client,
        pytest.raises(BadReply),
    ):
        rank(client, "q", DOCUMENTS)


def test_a_failure_is_tried_again_and_waits_as_long_as_it_is_told(ranking, rank, sleeper):
    ranking.error(503, {"retry-after": "3"})
    ranking.error(429)
    with Client("m", base_url=ranking.url, pace=sleeper.pace) as client:
        assert len(rank(client, "q", DOCUMENTS)) == 5

    assert sleeper.slept == [3.0, 1.0]


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, AuthenticationFailed, "check api_key="),
        (404, InvalidRequest, "nothing reranks at this address"),
        (400, InvalidRequest, "does not rerank"),
        (429, RateLimited, "does not rerank"),
        (500, UpstreamFailed, "does not rerank"),
    ],
)
def test_errors_are_those_of_embedding_in_the_servers_words(ranking, rank, status, kind, words):
    ranking.error(status, {"x-request-id": "r-1"}, message="The model does not rerank.")
    with (
        Client("m", base_url=ranking.url, max_retries=0) as client,
        pytest.raises(kind, match=words) as caught,
    ):
        rank(client, "q", DOCUMENTS)

    assert "request id r-1" in str(caught.value)


def test_a_server_that_is_not_there_is_not_stood_in_for(nowhere, rank):
    options = {"fallback": "local", "vector_space": "vs1-a", "max_retries": 0}
    with Client("m", base_url=nowhere, **options) as client, pytest.raises(UpstreamUnreachable):
        rank(client, "q", DOCUMENTS)


@pytest.mark.parametrize(
    ("query", "documents", "top_n", "error", "words"),
    [
        ("q", "one string", None, TypeError, "documents is one string"),
        ("q", ["a", 1], None, TypeError, r"documents\[1\] is int"),
        (None, ["a"], None, TypeError, "query is NoneType"),
        ("q", ["a", "\ud800"], None, ValueError, r"documents\[1\] has a lone surrogate"),
        ("", ["a"], None, ValueError, "query is an empty string"),
        ("q", ["a", ""], None, ValueError, r"documents\[1\] is an empty string"),
        ("q", ["a"], 0, ValueError, "top_n=0"),
    ],
)
def test_what_cannot_be_ranked_is_refused_before_it_is_sent(
    ranking, rank, query, documents, top_n, error, words
):
    with Client("m", base_url=ranking.url) as client, pytest.raises(error, match=words):
        rank(client, query, documents, top_n=top_n)
    assert ranking.requests == 0


def test_copies_rerank_too_and_a_closed_client_does_not(ranking):
    client = Client("m", base_url=ranking.url)
    for twin in (pickle.loads(pickle.dumps(client)), copy.deepcopy(client)):
        assert len(twin.rerank("q", DOCUMENTS)) == 5
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.rerank("q", DOCUMENTS)


@pytest.mark.parametrize(
    ("engine", "path"),
    [
        ("tei", "/rerank"),
        ("infinity", "/rerank"),
        ("vllm", "/rerank"),
        ("ovms", "/v3/rerank"),
    ],
)
def test_a_deployment_is_asked_in_its_engines_way(rank, engine, path):
    upstream = RerankUpstream(tei=engine == "tei")
    with (
        served(upstream) as address,
        Client.direct(model="m", url=address, engine=engine) as client,
    ):
        results = rank(client, "q", DOCUMENTS, top_n=3)

    assert [result.index for result in results] == _expected("q", DOCUMENTS)[:3]
    assert upstream.paths == [path]


def test_a_deployment_gets_no_more_documents_than_its_engine_takes(rank):
    upstream = RerankUpstream(tei=True)
    many = [f"document {number}" for number in range(70)]
    with served(upstream) as address, Client.direct(model="m", url=address) as client:
        results = rank(client, "q", many)

    assert sorted(len(body["texts"]) for body in upstream.seen) == [6, 32, 32]
    assert [result.index for result in results] == _expected("q", many)


@pytest.mark.parametrize("engine", ["onnx", "openai"])
def test_an_engine_that_does_not_rerank_is_said_so(rank, engine):
    client = Client.direct(model="m", url="http://127.0.0.1:1", engine=engine)
    with client, pytest.raises(ValueError, match=f'engine="{engine}" does not rerank'):
        rank(client, "q", DOCUMENTS)


def test_in_this_process_the_scores_are_the_runtimes(rank, tmp_path, monkeypatch):
    monkeypatch.setenv("EMBEDWAY_HOME", str(tmp_path))
    scores = LocalReranker(RERANKER).rerank("what flows?", DOCUMENTS)
    with Client(str(RERANKER), base_url="local") as client:
        results = rank(client, "what flows?", DOCUMENTS, top_n=4)

    assert [r.index for r in results] == np.argsort(-scores, kind="stable")[:4].tolist()
    assert [r.relevance_score for r in results] == [float(scores[r.index]) for r in results]


def test_through_the_real_gateway_the_scores_are_the_models(rank, tmp_path, monkeypatch):
    monkeypatch.setenv("EMBEDWAY_HOME", str(tmp_path))
    scores = json.loads((RERANKER / "expected.json").read_text())[1 : len(PAIRS["documents"])]
    upstream = {"name": "local", "engine": "local", "model": str(RERANKER)}
    models = [{"name": "ranker", "capabilities": ["rerank"], "upstreams": [upstream]}]
    with (
        served(create_app(Config.model_validate({"models": models}))) as address,
        Client("ranker", base_url=f"{address}/v1", batch_size=3) as client,
    ):
        results = rank(client, PAIRS["queries"][0], PAIRS["documents"][1:])
        with pytest.raises(InvalidRequest, match="does not embed"):
            client.embed(["a text"])

    found = [result.relevance_score for result in results]
    assert found == sorted(found, reverse=True)
    assert found == pytest.approx([scores[result.index] for result in results], abs=1e-5)


def test_a_local_model_that_embeds_is_no_reranker(rank, model_in_store):
    with (
        Client(model_in_store, base_url="local") as client,
        pytest.raises(ModelUnsupported),
    ):
        rank(client, "q", DOCUMENTS)


@given(
    some.lists(some.lists(some.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1), min_size=1),
    some.none() | some.integers(1, 8),
)
def test_pieces_are_joined_as_if_there_had_been_one(pieces, top_n):
    parts = []
    for scores in pieces:
        order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
        results = tuple(RerankResult(i, scores[i]) for i in order)
        parts.append(_Part(RerankResponse("m", results, Usage(1, 1), served_by="s"), None))
    whole = [score for scores in pieces for score in scores]
    joined = _joined(parts, RerankRequest("m", "q", tuple(map(str, whole)), top_n))

    order = sorted(range(len(whole)), key=lambda i: (-whole[i], i))[:top_n]
    assert [(r.index, r.relevance_score) for r in joined.results] == [(i, whole[i]) for i in order]
    assert joined.usage == Usage(len(pieces), len(pieces))
