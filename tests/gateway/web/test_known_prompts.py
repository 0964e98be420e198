"""`prompts: auto`: the same text is embedded, whether a server or this process does it."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from doubles.openai_upstream import OpenAIUpstream
from doubles.proven import prove
from embedway_gateway.config.schema import Config
from embedway_gateway.web.app import Gateway, create_app
from embedway_local import LocalEmbedder

NAME = "BAAI/bge-small-en-v1.5"
QUERY = "Represent this sentence for searching relevant passages: "
TINY = Path(__file__).parents[2] / "local_runtime" / "reference" / "tiny-bert"


@asynccontextmanager
async def gateway(**model: object) -> AsyncIterator[Gateway]:
    made = create_app(Config.model_validate({"models": [{"name": NAME, **model}]}))
    yield made
    await made.close()


async def ask(app: Gateway, text: str, kind: str) -> np.ndarray:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://gateway"
    ) as client:
        body = {"model": NAME, "input": text, "input_type": kind}
        reply = await client.post("/v1/embeddings", json=body)
    assert reply.status_code == 200, reply.text
    return np.array(reply.json()["data"][0]["embedding"], dtype=np.float32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """A small model that declares these prompts."""
    monkeypatch.setenv("EMBEDWAY_HOME", str(tmp_path / "home"))

    def make(prompts: dict[str, str]) -> str:
        made = shutil.copytree(TINY, tmp_path / "model")
        (made / "1_Pooling").mkdir()
        (made / "1_Pooling" / "config.json").write_text('{"pooling_mode": "mean"}')
        said = json.dumps({"prompts": prompts})
        (made / "config_sentence_transformers.json").write_text(said)
        return str(made)

    return make


async def test_a_server_gets_the_prompt_of_the_catalogue(
    upstream: OpenAIUpstream, upstream_server: tuple[OpenAIUpstream, str]
) -> None:
    up = {"name": "up", "engine": "openai", "url": upstream_server[1]}
    async with gateway(dimensions=8, prompts="auto", upstreams=[up]) as app:
        await prove(app)
        upstream.reset()
        await ask(app, "why?", "query")
        await ask(app, "because", "document")

    assert [call.body["input"] for call in upstream.seen] == [[QUERY + "why?"], ["because"]]


@pytest.mark.parametrize(
    ("own", "asked", "prompt"),
    [
        ({}, "auto", QUERY),
        ({"query": "", "document": ""}, "auto", QUERY),
        ({"query": "q: "}, "auto", "q: "),
        ({}, None, ""),
    ],
)
async def test_a_local_model_gets_it_where_its_files_have_none(
    folder: Callable[..., str], own: dict[str, str], asked: str | None, prompt: str
) -> None:
    place = folder(own)
    up = {"name": "here", "engine": "local", "model": place, "device": "cpu"}
    async with gateway(prompts=asked, upstreams=[up]) as app:
        vector = await ask(app, "why?", "query")
        space = app.models[NAME].vector_space
    with LocalEmbedder(place, prompts={"query": prompt}, device="cpu") as made:
        expected = made.embed(["why?"], input_type="query")[0]
        fingerprint = made.space.fingerprint

    np.testing.assert_allclose(vector, expected, rtol=0, atol=1e-6)
    assert space == fingerprint
