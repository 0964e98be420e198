"""Which model answers TEI's clients, most of which cannot name one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from doubles.openai_upstream import OpenAIUpstream
from doubles.tei_answer import refused, vectors_of
from embedway_gateway.config.schema import Config
from embedway_gateway.web.app import create_app


@asynccontextmanager
async def gateway(*models: dict[str, Any], **server: Any) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Config.model_validate({"models": list(models), "server": server}))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client
    await app.close()


def model(url: str, name: str, **more: Any) -> dict[str, Any]:
    upstream = {"name": "up", "engine": "openai", "url": url}
    return {"name": name, "dimensions": 8, "upstreams": [upstream], **more}


@pytest.fixture
def url(upstream_server: tuple[OpenAIUpstream, str], upstream: OpenAIUpstream) -> str:
    assert not upstream.seen
    return upstream_server[1]


async def ask(client: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await client.post("/embed", json=body)


async def test_the_only_model_that_embeds_needs_no_name(url: str) -> None:
    ranker = {
        "name": "ranker",
        "capabilities": ["rerank"],
        "upstreams": [{"name": "up", "engine": "tei", "url": url}],
    }
    async with gateway(ranker, model(url, "only")) as client:
        vectors_of(await ask(client, inputs="a"))
        wrong = refused(await ask(client, inputs="a", model="ranker"), 422, "Validation")

    assert "'ranker' does not embed" in wrong


async def test_among_several_models_one_must_be_named(url: str) -> None:
    async with gateway(model(url, "m1", aliases=["first"]), model(url, "m2")) as client:
        unnamed = refused(await ask(client, inputs="a"), 400, "Validation")
        unknown = refused(await ask(client, inputs="a", model="m3"), 404, "Validation")
        named = await ask(client, inputs="a", model="first")
        addressed = await client.post("/embed?model=m2", json={"inputs": "a"})
        agreed = await client.post("/embed?model=m2", json={"inputs": "a", "model": "m2"})
        torn = await client.post("/embed?model=m2", json={"inputs": "a", "model": "m1"})

    assert "m1, m2" in unnamed
    assert "?model=" in unnamed
    assert "m1, m2" in unknown
    spaces = [answer.headers["x-embedway-vector-space"] for answer in (named, addressed, agreed)]
    assert spaces[0] != spaces[1] == spaces[2]
    assert "different models" in refused(torn, 422, "Validation")


async def test_where_no_model_embeds_the_error_says_so(url: str) -> None:
    upstreams = [{"name": "up", "engine": "tei", "url": url}]
    ranker = {"name": "ranker", "capabilities": ["rerank"], "upstreams": upstreams}
    async with gateway(ranker) as client:
        message = refused(await ask(client, inputs="a"), 404, "Validation")

    assert "No model here can embed" in message
