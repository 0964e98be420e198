"""`POST /v1/rerank`, in Cohere's shape, over servers that speak other ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from doubles.rerank_upstream import RerankUpstream, relevance
from doubles.serving import served
from embedway_gateway.config.schema import Config
from embedway_gateway.web.app import create_app

QUERY = "what is a vector space?"
DOCUMENTS = [f"document {number}" for number in range(7)]


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, tuple[RerankUpstream, str]]]:
    tei, cohere = RerankUpstream(tei=True), RerankUpstream()
    with served(tei) as first, served(cohere) as second:
        yield {
            "tei": (tei, first),
            "ovms": (cohere, second),
            "infinity": (cohere, second),
            "vllm": (cohere, second),
        }


@pytest.fixture(params=["tei", "ovms", "infinity", "vllm"])
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def server(servers: dict[str, tuple[RerankUpstream, str]], engine: str) -> RerankUpstream:
    app = servers[engine][0]
    app.faults.clear()
    app.seen.clear()
    app.paths.clear()
    return app


@pytest.fixture
async def client(
    servers: dict[str, tuple[RerankUpstream, str]], engine: str, server: RerankUpstream
) -> AsyncIterator[httpx.AsyncClient]:
    upstream = {"name": "up", "engine": engine, "url": servers[engine][1]}
    model = {"name": "ranker", "capabilities": ["rerank"], "upstreams": [upstream]}
    gateway = create_app(Config.model_validate({"models": [model]}))
    transport = httpx.ASGITransport(gateway)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        yield http
    await gateway.close()


async def ask(client: httpx.AsyncClient, path: str = "/v1/rerank", **more: Any) -> httpx.Response:
    body = {"model": "ranker", "query": QUERY, "documents": DOCUMENTS, **more}
    return await client.post(path, json=body)


def best(documents: list[str]) -> list[int]:
    return sorted(range(len(documents)), key=lambda index: -relevance(QUERY, documents[index]))


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
async def test_documents_come_back_the_most_relevant_first(
    client: httpx.AsyncClient, server: RerankUpstream, path: str, engine: str
) -> None:
    response = await ask(client, path)
    body = response.json()

    assert 200 == response.status_code, response.text
    assert best(DOCUMENTS) == [item["index"] for item in body["results"]]
    for item in body["results"]:
        assert relevance(QUERY, DOCUMENTS[item["index"]]) == pytest.approx(item["relevance_score"])
        assert "document" not in item
    assert response.headers["x-embedway-engine"] == engine
    assert "ranker" == body["model"]
    assert "up" == response.headers["x-embedway-upstream"]
    assert ["/v3/rerank" if engine == "ovms" else "/rerank"] == server.paths


async def test_top_n_and_the_documents_may_be_asked_for(client: httpx.AsyncClient) -> None:
    response = await ask(client, top_n=3, return_documents=True)
    results = response.json()["results"]

    assert best(DOCUMENTS)[:3] == [item["index"] for item in results]
    assert [{"text": DOCUMENTS[i]} for i in best(DOCUMENTS)[:3]] == [
        item["document"] for item in results
    ]


async def test_cohere_s_older_form_of_documents_is_taken(client: httpx.AsyncClient) -> None:
    response = await ask(client, documents=[{"text": text} for text in DOCUMENTS])

    assert best(DOCUMENTS) == [item["index"] for item in response.json()["results"]]


async def test_more_documents_than_the_engine_takes_are_divided(
    client: httpx.AsyncClient, server: RerankUpstream, engine: str
) -> None:
    documents = [f"text {number}" for number in range(100)]

    response = await ask(client, documents=documents, top_n=10)

    assert best(documents)[:10] == [item["index"] for item in response.json()["results"]]
    if engine == "tei":
        assert [32, 32, 32, 4] == sorted((len(s["texts"]) for s in server.seen), reverse=True)


async def test_pieces_that_several_engines_scored_are_no_ranking(
    servers: dict[str, tuple[RerankUpstream, str]],
) -> None:
    upstreams = [
        {"name": engine, "engine": engine, "url": servers[engine][1], "max_inputs": 16}
        for engine in ("tei", "vllm")
    ]
    model = {"name": "ranker", "capabilities": ["rerank"], "upstreams": upstreams}
    gateway = create_app(Config.model_validate({"models": [model]}))
    transport = httpx.ASGITransport(gateway)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        many = await ask(http, documents=[f"text {number}" for number in range(100)])
        few = await ask(http)
    await gateway.close()

    assert (502, 200) == (many.status_code, few.status_code)
    assert "several engines (tei, vllm)" in many.json()["error"]["message"]


@pytest.mark.parametrize("fault", ["dropped", "duplicated", 500])
async def test_a_spoiled_reply_is_tried_again_and_never_passed_on(
    client: httpx.AsyncClient, server: RerankUpstream, fault: Any
) -> None:
    server.faults.append(fault)

    response = await ask(client)

    # OVMS says 500 for mistakes that stay, so that one is not repeated.
    if response.status_code == 200:
        assert best(DOCUMENTS) == [item["index"] for item in response.json()["results"]]
    else:
        assert 502 == response.status_code
    assert "secret words" not in response.text


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"query": ""}, "query"),
        ({"query": 5}, "query"),
        ({"documents": []}, "documents"),
        ({"documents": ["a", ""]}, "documents"),
        ({"documents": ["a", 3]}, "documents"),
        ({"documents": "a"}, "documents"),
        ({"top_n": 0}, "top_n"),
        ({"top_n": "x"}, "top_n"),
        ({"model": None}, "model"),
    ],
)
async def test_bad_bodies_are_told_with_their_field(
    client: httpx.AsyncClient, body: dict[str, Any], param: str
) -> None:
    response = await ask(client, **body)

    assert 400 == response.status_code, response.text
    assert param == response.json()["error"]["param"]


async def test_a_model_that_only_reranks_does_not_embed(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/embeddings", json={"model": "ranker", "input": "a"})

    assert 400 == response.status_code
    assert "does not embed" in response.json()["error"]["message"]
    assert ["rerank"] == (await client.get("/v1/models/ranker")).json()["capabilities"]
