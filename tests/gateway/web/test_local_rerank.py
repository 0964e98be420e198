"""`POST /v1/rerank` over a cross-encoder in this process."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pydantic import ValidationError

from doubles.time import Time
from embedway_gateway.config.schema import Config
from embedway_gateway.local_rerank import LocalRerank
from embedway_gateway.rank_in_process import RankInProcess
from embedway_gateway.web.app import create_app
from embedway_local import LocalReranker, ModelNotFound
from embedway_upstream import RerankRequest, UpstreamFailed

FOLDER = Path(__file__).parents[2] / "local_runtime" / "reference" / "rerankers"
PAIRS = json.loads((FOLDER / "pairs.json").read_text())
# The first document is empty, which the gateway refuses.
QUERY, DOCUMENTS = PAIRS["queries"][0], PAIRS["documents"][1:]
SCORES = json.loads((FOLDER / "bert" / "expected.json").read_text())[1 : 1 + len(DOCUMENTS)]


def config(folder: str = "bert", **more: Any) -> Config:
    upstream = {"name": "local", "engine": "local", "model": str(FOLDER / folder)}
    model = {"name": "ranker", "capabilities": ["rerank"], "upstreams": [upstream], **more}
    return Config.model_validate({"models": [model]})


@pytest.fixture
async def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """Makes a client of a gateway with such a model."""
    monkeypatch.setenv("EMBEDWAY_HOME", str(tmp_path))
    made: list[Any] = []

    def make(settings: Config) -> httpx.AsyncClient:
        gateway = create_app(settings)
        transport = httpx.ASGITransport(gateway)
        http = httpx.AsyncClient(transport=transport, base_url="http://gateway")
        made.extend((http, gateway))
        return http

    yield make
    for http, gateway in zip(made[::2], made[1::2], strict=True):
        await http.aclose()
        await gateway.close()


async def ask(http: httpx.AsyncClient, **more: Any) -> httpx.Response:
    body = {"model": "ranker", "query": QUERY, "documents": DOCUMENTS, **more}
    return await http.post("/v1/rerank", json=body)


async def test_documents_come_back_the_most_relevant_first(client: Any) -> None:
    response = await ask(client(config()))

    assert 200 == response.status_code, response.text
    results = response.json()["results"]
    assert np.argsort(-np.array(SCORES), kind="stable").tolist() == [r["index"] for r in results]
    for result in results:
        assert SCORES[result["index"]] == pytest.approx(result["relevance_score"], abs=1e-5)


async def test_only_the_first_are_given_where_that_is_asked(client: Any) -> None:
    results = (await ask(client(config()), top_n=2)).json()["results"]

    assert np.argsort(-np.array(SCORES))[:2].tolist() == [r["index"] for r in results]


async def test_it_is_asked_for_no_vectors(client: Any) -> None:
    body = {"model": "ranker", "input": "a"}
    response = await client(config()).post("/v1/embeddings", json=body)

    assert 400 <= response.status_code < 500


async def test_a_model_that_cannot_be_loaded_is_told(client: Any) -> None:
    response = await ask(client(config("nowhere")))

    assert response.status_code in {502, 503}
    assert "local model could not be loaded" in response.json()["error"]["message"]


def test_a_local_model_either_embeds_or_reranks() -> None:
    with pytest.raises(ValidationError, match="either embeds or reranks"):
        config(capabilities=["embed", "rerank"])


async def test_a_load_that_fails_is_told_and_not_repeated_at_once() -> None:
    time, opened = Time(), []

    def open_() -> LocalReranker:
        opened.append(True)
        raise ModelNotFound("why not")

    local = LocalRerank("local", RankInProcess("local", open_, clock=time))
    for _ in range(3):
        with pytest.raises(UpstreamFailed):
            await local.send(RerankRequest("m", "a", ("b",)))
    assert (1, "why not") == (len(opened), local.problem)
    time.now += 31
    with pytest.raises(UpstreamFailed):
        await local.load()

    assert 2 == len(opened)
