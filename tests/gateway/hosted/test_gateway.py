"""Engine `litellm` in a configuration, and through the whole gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from doubles.cohere_upstream import CohereUpstream, Refusal, typed
from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import free_port
from embedway_gateway.config.load import ConfigError, load_config
from embedway_gateway.config.schema import Config
from embedway_gateway.survey import survey
from embedway_gateway.warm import warm
from embedway_gateway.web.app import create_app
from embedway_upstream.testing import fake_vectors


def config_of(openai_url: str, cohere_url: str) -> Config:
    def upstream(model: str, url: str, **more: Any) -> dict[str, Any]:
        known = {"name": "up", "engine": "litellm", "credentials": "key", "timeout": "1s"}
        return {**known, "model": model, "url": url, **more}

    return Config.model_validate(
        {
            "credentials": {"key": {"type": "bearer", "token": "s3cret-token"}},
            "models": [
                {
                    "name": "small",
                    "dimensions": 8,
                    "upstreams": [upstream("openai/theirs", openai_url, max_inputs=2)],
                },
                {
                    "name": "embed-v3",
                    "dimensions": 8,
                    "upstreams": [upstream("cohere/embed-english-v3.0", f"{cohere_url}/v2/embed")],
                },
                {
                    "name": "ranker",
                    "capabilities": ["rerank"],
                    "upstreams": [upstream("cohere/rerank-v3.5", cohere_url)],
                },
            ],
        }
    )


@pytest.fixture
def config(openai_url: str, cohere_url: str) -> Config:
    return config_of(openai_url, cohere_url)


async def asking(config: Config, *, compared: bool) -> AsyncIterator[httpx.AsyncClient]:
    gateway = create_app(config)
    for model in gateway.models.values():
        for state in model.upstreams:
            # What compares the upstream's space has been here.
            if compared and state.space is not None and "embed" in model.config.capabilities:
                await state.space.prove()
    transport = httpx.ASGITransport(gateway)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client
    await gateway.close()


@pytest.fixture
async def client(
    config: Config, openai: OpenAIUpstream, cohere: CohereUpstream
) -> AsyncIterator[httpx.AsyncClient]:
    async for client in asking(config, compared=True):
        openai.seen.clear()
        cohere.seen.clear()
        yield client


async def test_an_answer(client: httpx.AsyncClient, openai: OpenAIUpstream) -> None:
    texts = ["a", "b", "c"]

    answer = await client.post("/v1/embeddings", json={"model": "small", "input": texts})

    body = answer.json()
    assert (200, "small", "up") == (
        answer.status_code,
        body["model"],
        answer.headers["x-embedway-upstream"],
    )
    vectors = [item["embedding"] for item in body["data"]]
    np.testing.assert_allclose(fake_vectors(texts, 8), vectors, rtol=1e-6)
    sent = [seen.body["input"] for seen in openai.seen]
    assert texts == sorted(text for piece in sent for text in piece)
    assert max(map(len, sent)) <= 2
    assert "theirs" not in answer.text


async def test_a_query(client: httpx.AsyncClient, cohere: CohereUpstream) -> None:
    body = {"model": "embed-v3", "input": "why?", "input_type": "query"}

    answer = await client.post("/v1/embeddings", json=body)

    wanted = fake_vectors([typed("search_query", "why?")], 8)
    np.testing.assert_allclose(wanted, [answer.json()["data"][0]["embedding"]], rtol=1e-6)


async def test_reranking(client: httpx.AsyncClient, cohere: CohereUpstream) -> None:
    body = {"model": "ranker", "query": "why?", "documents": ["a", "b"]}

    answer = await client.post("/v1/rerank", json=body)

    assert 200 == answer.status_code
    assert [0, 1] == sorted(result["index"] for result in answer.json()["results"])


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Refusal(401), 502),
        (Refusal(429, {"retry-after": "7"}), 429),
        (Refusal(400, says="too many tokens"), 400),
        (Refusal(500), 502),
        ("hang", 504),
        ("nan", 502),
    ],
)
async def test_a_failure(
    client: httpx.AsyncClient, cohere: CohereUpstream, fault: Any, status: int
) -> None:
    cohere.faults += [fault] * 3

    answer = await client.post("/v1/embeddings", json={"model": "embed-v3", "input": "planted"})

    assert status == answer.status_code
    assert ("7" if status == 429 else None) == answer.headers.get("retry-after")
    assert "planted" not in answer.text
    assert "secret words" not in answer.text


async def test_nobody_there() -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    async for client in asking(config_of(nowhere, nowhere), compared=False):
        answer = await client.post("/v1/embeddings", json={"model": "embed-v3", "input": "a"})

    assert 503 == answer.status_code


async def test_it_is_ready_when_litellm_is_loaded(config: Config) -> None:
    gateway = create_app(config)
    model = gateway.models["small"]
    before = model.problems(0.0)

    async def enough(_seconds: float) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await warm(model, sleep=enough)

    assert ["up: LiteLLM is being loaded"] == before
    assert [] == model.problems(0.0)
    await gateway.close()


async def test_a_survey_reaches_it(
    config: Config, openai: OpenAIUpstream, cohere: CohereUpstream
) -> None:
    openai.faults.append(401)

    found = {finding.model: finding for finding in await survey(config)}

    assert "credentials" in found["small"].problem
    assert ("", 8) == (found["embed-v3"].problem, found["embed-v3"].dimensions)
    assert "" == found["ranker"].problem


def problems(tmp_path: Path, upstream: str, credentials: str = "{}") -> list[str]:
    path = tmp_path / "embedway.yaml"
    path.write_text(
        f"credentials: {credentials}\n"
        "models:\n"
        "  - name: m\n"
        "    dimensions: 8\n"
        "    upstreams:\n"
        f"      - {{name: up, engine: litellm, {upstream}}}\n",
        "utf-8",
    )
    try:
        load_config(path, {})
    except ConfigError as error:
        return error.problems
    return []


@pytest.mark.parametrize(
    "upstream",
    [
        "model: cohere/embed-v4.0",
        'model: openai/x, url: "https://example.test/v1"',
        'model: openai/x, url: "http://127.0.0.1:1/v1"',
        'model: openai/x, url: "http://example.test/v1", insecure: true',
    ],
)
def test_what_is_accepted(tmp_path: Path, upstream: str) -> None:
    assert [] == problems(tmp_path, upstream)


@pytest.mark.parametrize(
    ("upstream", "says"),
    [
        ("weight: 1", "provider/model, like cohere/embed-english-v3.0"),
        ("model: embed-v4.0", "provider/model, like cohere/embed-english-v3.0"),
        ("model: huggingface/BAAI/bge-m3", "use engine tei"),
        ("model: cohere/x, platform: oci", "has no platform"),
        ("model: cohere/x, path: /v1", "takes no path"),
        ("model: cohere/x, pooling: cls", "takes no pooling"),
        ('model: openai/x, url: "http://example.test/v1"', "insecure: true"),
        ("model: cohere/x, credentials: login", "takes type bearer"),
    ],
)
def test_what_is_refused(tmp_path: Path, upstream: str, says: str) -> None:
    login = "{login: {type: oauth2, token_url: 'https://a.test', client_id: a, client_secret: b}}"

    (problem,) = problems(tmp_path, upstream, login)

    assert says in problem
