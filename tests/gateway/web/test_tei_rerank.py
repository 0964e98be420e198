"""`POST /rerank`, as a client of text-embeddings-inference sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from doubles.rerank_upstream import RerankUpstream, relevance
from doubles.serving import served
from doubles.tei_answer import refused
from embedway_gateway.config.schema import Config
from embedway_gateway.web.app import create_app

QUERY = "what is a vector space?"
TEXTS = [f"text {number}" for number in range(40)]


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[RerankUpstream, str]]:
    app = RerankUpstream(tei=True)
    with served(app) as url:
        yield app, url


@pytest.fixture
def upstream(server: tuple[RerankUpstream, str]) -> RerankUpstream:
    app, _ = server
    app.faults.clear()
    app.seen.clear()
    return app


@pytest.fixture
async def client(
    server: tuple[RerankUpstream, str], upstream: RerankUpstream
) -> AsyncIterator[httpx.AsyncClient]:
    assert not upstream.seen
    one = {"name": "up", "engine": "tei", "url": server[1]}
    models = [
        {"name": "ranker", "capabilities": ["rerank"], "aliases": ["r"], "upstreams": [one]},
        {"name": "m", "dimensions": 8, "upstreams": [one]},
    ]
    gateway = create_app(Config.model_validate({"models": models}))
    transport = httpx.ASGITransport(gateway)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        yield http
    await gateway.close()


async def ask(client: httpx.AsyncClient, **more: Any) -> httpx.Response:
    return await client.post("/rerank", json={"query": QUERY, "texts": TEXTS, **more})


def best() -> list[tuple[int, float]]:
    scored = [(index, relevance(QUERY, text)) for index, text in enumerate(TEXTS)]
    return sorted(scored, key=lambda pair: -pair[1])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"model": "r"},
        {"truncate": True},
        {"truncate": None, "truncation_direction": "right", "raw_scores": False},
        {"return_text": False},
    ],
)
async def test_the_answer_is_a_bare_list_the_most_relevant_first(
    client: httpx.AsyncClient, options: dict[str, Any]
) -> None:
    response = await ask(client, **options)

    assert 200 == response.status_code, response.text
    assert [{"index": index, "score": score} for index, score in best()] == response.json()
    assert "up" == response.headers["x-embedway-upstream"]
    assert "x-embedway-vector-space" not in response.headers


async def test_texts_come_back_when_asked_for(client: httpx.AsyncClient) -> None:
    response = await ask(client, return_text=True)

    assert [
        {"index": index, "score": score, "text": TEXTS[index]} for index, score in best()
    ] == response.json()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"raw_scores": True}, "raw_scores: true is not served"),
        ({"truncate": False}, "truncate: false cannot be promised"),
        ({"truncation_direction": "left"}, "truncation_direction must be 'right'"),
        ({"query": 5}, "$.query"),
        ({"texts": "private words"}, "$.texts"),
        ({"texts": [{"text": "private words"}]}, "$.texts[0]"),
        ({"texts": ["private words"] * 10_001}, "texts has 10001 texts; at most 10000"),
        ({"return_text": "yes"}, "$.return_text"),
        ({"model": "m"}, "'m' does not rerank"),
    ],
)
async def test_what_cannot_be_promised_is_refused(
    client: httpx.AsyncClient, upstream: RerankUpstream, body: dict[str, Any], words: str
) -> None:
    message = refused(await ask(client, **body), 422, "Validation")

    assert words in message
    assert "private words" not in message
    assert [] == upstream.seen


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"query": ""}, "query cannot be empty"),
        ({"texts": []}, "texts cannot be empty"),
        ({"texts": ["a", ""]}, "texts[1] cannot be empty"),
    ],
)
async def test_nothing_to_rank_is_empty(
    client: httpx.AsyncClient, body: dict[str, Any], words: str
) -> None:
    assert words in refused(await ask(client, **body), 400, "Empty")


@pytest.mark.parametrize("missing", ["query", "texts"])
async def test_a_missing_field_is_named(client: httpx.AsyncClient, missing: str) -> None:
    body = {"query": QUERY, "texts": TEXTS}
    del body[missing]

    assert f"`{missing}`" in refused(await client.post("/rerank", json=body), 422, "Validation")


async def test_a_reply_that_stays_spoiled_is_an_error(
    client: httpx.AsyncClient, upstream: RerankUpstream
) -> None:
    upstream.faults.extend(["dropped"] * 9)

    refused(await ask(client), 502, "Backend")
