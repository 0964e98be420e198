"""Errors on TEI's routes: in its form, wherever they come from."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import numpy as np
import pytest

from doubles.openai_upstream import OpenAIUpstream
from doubles.proven import prove
from doubles.tei_answer import refused, vectors_of
from embedway_gateway.config.schema import Config
from embedway_gateway.web.app import Gateway, create_app
from embedway_upstream.testing import fake_vectors


async def ask(client: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await client.post("/embed", json=body)


@pytest.mark.parametrize("content", [b"{", b'{"inputs": "\xff"}', rb'{"inputs": "\ud800"}', b""])
async def test_a_body_that_is_not_json_of_text_is_refused(
    client: httpx.AsyncClient, content: bytes
) -> None:
    headers = {"content-type": "application/json"}
    response = await client.post("/embed", content=content, headers=headers)

    assert "not JSON" in refused(response, 400, "Validation")


async def test_errors_of_the_way_in_have_the_form_too(client: httpx.AsyncClient) -> None:
    got = await client.get("/embed")
    text = await client.post("/embed", content=b"hello", headers={"content-type": "text/plain"})
    large = await ask(client, inputs="x" * 3_000_001)

    refused(got, 405, "Validation")
    assert "POST" == got.headers["allow"]
    refused(text, 415, "Validation")
    refused(large, 413, "Validation")
    assert all("x-request-id" in response.headers for response in (got, text, large))


@pytest.mark.parametrize(
    ("fault", "status", "error_type", "retry"),
    [
        (500, 502, "Backend", "true"),
        (401, 502, "Backend", "false"),
        ("nan", 502, "Backend", "true"),
        (504, 504, "Backend", "true"),
        ("reset", 503, "Unhealthy", "true"),
        (400, 422, "Validation", "false"),
        (413, 422, "Validation", "false"),
        ((429, {"retry-after": "60"}), 429, "Overloaded", "true"),
    ],
)
async def test_an_upstreams_failure_keeps_our_status(
    client: httpx.AsyncClient,
    upstream: OpenAIUpstream,
    fault: Any,
    status: int,
    error_type: str,
    retry: str,
) -> None:
    upstream.faults.extend([fault] * 9)

    response = await ask(client, inputs=["private words"])
    message = refused(response, status, error_type)

    assert "private words" not in message
    assert "secret words" not in message
    assert retry == response.headers["x-should-retry"]
    if status == 429:
        assert "60" == response.headers["retry-after"]


@pytest.mark.parametrize("path", ["/embed", "/rerank"])
async def test_a_gateway_that_stops_says_so_in_the_form(
    app: Gateway, client: httpx.AsyncClient, path: str
) -> None:
    app.draining = True

    response = await client.post(path, json={})

    assert "shutting down" in refused(response, 503, "Unhealthy")
    assert "1" == response.headers["retry-after"]


async def test_other_routes_keep_openais_form(client: httpx.AsyncClient) -> None:
    answers = [await client.post(path, json={}) for path in ("/v1/rerank", "/embed/", "/other")]

    assert [400, 404, 404] == [answer.status_code for answer in answers]
    assert all(answer.json()["error"]["message"] for answer in answers)
    assert "POST /embed" in answers[1].json()["error"]["message"]


async def test_a_caller_that_leaves_frees_its_slot(
    upstream_server: tuple[OpenAIUpstream, str], upstream: OpenAIUpstream
) -> None:
    slot = {"name": "up", "engine": "openai", "url": upstream_server[1], "max_concurrency": 1}
    model = {"name": "m", "dimensions": 8, "upstreams": [{**slot, "timeout": "20s"}]}
    app = create_app(Config.model_validate({"models": [model]}))
    await prove(app)
    upstream.reset()
    upstream.faults.append("hang")
    inbox = [{"type": "http.request", "body": json.dumps({"inputs": "a"}).encode()}]
    outbox: list[Any] = []

    async def receive() -> Any:
        if inbox:
            return inbox.pop()
        while not upstream.seen:  # noqa: ASYNC110
            await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        outbox.append(message)

    scope = {"type": "http", "method": "POST", "path": "/embed", "query_string": b""}
    await app({**scope, "headers": [(b"content-type", b"application/json")]}, receive, send)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        after = await asyncio.wait_for(ask(client, inputs="b"), 10)
    await app.close()

    assert 499 == outbox[0]["status"]
    np.testing.assert_array_equal(fake_vectors(["b"], 8), vectors_of(after))
