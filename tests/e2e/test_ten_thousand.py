"""One configuration, five engines on three platforms, ten thousand texts each: no vector lost."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import openai
import pytest

from doubles.aicore_api import AICoreAPI
from doubles.engine_answer import own
from doubles.engine_columns import COLUMNS, RERANKERS, as_reranker
from doubles.engine_gateway import Street, calling, rows_of
from doubles.oci_identity import FINGERPRINT, KEY_ID, TENANCY, USER, pem, private_key
from doubles.oci_platform import OCIPlatform
from doubles.openai_upstream import _lifespan
from doubles.rerank_upstream import relevance
from doubles.serving import served
from embedway_gateway.config.schema import Config

MOST = 2048  # texts in one request of OpenAI's contract
MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    # the column, the platform, and what else its upstream is told
    "tei": ("tei-1.9", "plain", {}),
    "tei by predict": ("tei-1.8", "oci", {"invoke": "predict"}),
    "tei by route": ("tei-1.9", "oci", {"invoke": "route"}),
    "tei on ai core": ("tei-1.5", "aicore", {}),
    "ovms": ("ovms-2026.3", "plain", {}),
    "ovms by route": ("ovms-2024.5", "oci", {"invoke": "route"}),
    "ovms on ai core": ("ovms-2026.3", "aicore", {}),
    "infinity": ("infinity-multi", "plain", {}),
    "infinity on ai core": ("infinity", "aicore", {}),
    "infinity by suffix": ("infinity", "oci", {"invoke": "suffix"}),
    "vllm": ("vllm-0.10", "plain", {}),
    "vllm by suffix": ("vllm-0.33", "oci", {"invoke": "suffix"}),
    "vllm on ai core": ("vllm-0.33", "aicore", {}),
    "score.py": ("score-pooled", "oci", {}),
    "score.py, cls": ("score-cls", "oci", {"max_inputs": 64}),
    "score.py, mean": ("score-mean", "oci", {}),
}
# Each text is sent alone: ten thousand calls would take longer than all the rest.
COUNT = {"score.py, mean": 500}
RANKERS = {f"ranker {name}": name for name in RERANKERS}


@dataclass
class Deployments:
    """What stands behind a platform: its name in the address tells which stand-in answers."""

    engines: dict[str, Any] = field(default_factory=dict)
    predicts: dict[str, str] = field(default_factory=dict)
    """Where `/predict` goes: MODEL_DEPLOY_PREDICT_ENDPOINT of the deployment."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        name = re.search(r"/(?:ocid1\.|deployments/)(d\d+)/", scope["raw_path"].decode())
        assert name is not None
        path = scope["path"]
        path = self.predicts.get(name[1], path) if path == "/predict" else path
        await self.engines[name[1]]({**scope, "path": path}, receive, send)


class World:
    """Every stand-in, and the configuration that names them."""

    def __init__(self, folder: Path) -> None:
        self.behind = Deployments()
        self.street = Street()
        self.oci = OCIPlatform(self.behind, {KEY_ID: private_key().public_key()})
        self.aicore = AICoreAPI(engine=self.behind)  # type: ignore[arg-type]
        self.servers: dict[str, Any] = {}
        self.key_file = folder / "key.pem"
        self.key_file.write_bytes(pem(private_key()))

    def config(self, oci: str, aicore: str, plain: str) -> Config:
        models: list[dict[str, Any]] = []
        for number, (name, (column, platform, more)) in enumerate(MODELS.items()):
            server = self._deploy(number, name)
            self.aicore.add(number, aicore, name="c", model=None)
            url = {
                "plain": f"{plain}/d{number}",
                "oci": f"{oci}/ocid1.d{number}",
                "aicore": f"{aicore}/v2/inference/deployments/d{number}",
            }[platform]
            item = self._up(column, server, url, platform, more)
            models.append({"name": name, "dimensions": 12, **item})
        for name, column in RANKERS.items():
            server = self.servers[name] = self.street.houses[column] = as_reranker(column)
            item = self._up(column, server, f"{plain}/{column}", "plain", {})
            models.append({"name": name, "capabilities": ["rerank"], **item})
        return Config.model_validate({"credentials": self._logins(aicore), "models": models})

    def _deploy(self, number: int, name: str) -> Any:
        column, platform, _ = MODELS[name]
        options: dict[str, Any] = {"model": f"space {number}", "dimensions": 12}
        if COLUMNS[column].engine == "infinity" and platform == "aicore":
            options["prefix"] = "/v1"
        server = self.servers[name] = COLUMNS[column].server(**options)
        self.behind.engines[f"d{number}"] = self.street.houses[f"d{number}"] = server
        if COLUMNS[column].engine == "tei":
            self.behind.predicts[f"d{number}"] = "/v1/embeddings"
        return server

    def _up(self, column: str, server: Any, url: str, platform: str, more: dict[str, Any]) -> Any:
        item = {
            "name": "up",
            "engine": COLUMNS[column].engine,
            "platform": platform,
            "url": url,
            "model": server.model,
            "credentials": {"plain": None, "oci": "prod", "aicore": "sap"}[platform],
            **COLUMNS[column].more,
            **more,
        }
        return {"upstreams": [item]}

    def _logins(self, aicore: str) -> dict[str, Any]:
        identity = {"tenancy": TENANCY, "user": USER, "fingerprint": FINGERPRINT}
        secret = {"client_id": "client", "client_secret": "planted-secret"}
        return {
            "prod": {"type": "oci", "key_file": str(self.key_file), **identity},
            "sap": {"type": "oauth2", "token_url": f"{aicore}/oauth/token", **secret},
        }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Config]]:
    world = World(tmp_path_factory.mktemp("oci"))
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(served(app)) for app in (world.oci, world.aicore, world.street)]
        yield world, world.config(*urls)


async def embedded(client: openai.AsyncOpenAI, name: str, texts: Sequence[str]) -> Any:
    """In requests that run at once, asked for base64 and floats in turn."""

    async def one(number: int) -> Any:
        form: Any = ("base64", "float")[number % 2]
        some = list(texts[number * MOST : (number + 1) * MOST])
        answer = await client.embeddings.create(model=name, input=some, encoding_format=form)
        assert name == answer.model
        assert list(range(len(some))) == [item.index for item in answer.data]
        return rows_of(answer.data)

    requests = range(-(-len(texts) // MOST))
    return np.concatenate(await asyncio.gather(*map(one, requests)))


@pytest.mark.parametrize("name", MODELS)
async def test_every_vector_is_the_engines_own(world: tuple[World, Config], name: str) -> None:
    texts = [f"{name}, text number {index}" for index in range(COUNT.get(name, 10_000))]
    server = world[0].servers[name]
    before = sum(world[0].oci.verdicts.values())
    async with calling(world[1]) as caller:
        found = await embedded(caller.openai, name, texts)

    np.testing.assert_array_equal(found, own(MODELS[name][0], server, texts))
    assert [] == server.odd
    sizes = [asked.body.count(b"text number") for asked in server.seen]
    assert len(texts) == sum(sizes), "no text was sent twice"
    if MODELS[name][1] == "oci":
        assert {"ok"} == set(world[0].oci.verdicts)
        assert len(sizes) == sum(world[0].oci.verdicts.values()) - before
    if MODELS[name][1] == "aicore":
        assert len(world[0].aicore.forms) <= len(MODELS)


async def test_all_models_at_once(world: tuple[World, Config]) -> None:
    """Texts that every model is asked for: none gets another's vector."""
    texts = [f"of all, text number {index}" for index in range(100)]
    async with calling(world[1]) as caller:
        asked = (embedded(caller.openai, name, texts) for name in MODELS)
        answers = await asyncio.gather(*asked)

    for name, found in zip(MODELS, answers, strict=True):
        own_answer = own(MODELS[name][0], world[0].servers[name], texts)
        np.testing.assert_array_equal(found, own_answer, err_msg=name)


@pytest.mark.parametrize("name", RANKERS)
async def test_a_thousand_documents_are_ranked(world: tuple[World, Config], name: str) -> None:
    documents = [f"document number {index}" for index in range(1000)]
    body = {"model": name, "query": "what is asked?", "documents": documents}
    async with calling(world[1]) as caller:
        reply = await caller.openai.post("/rerank", body=body, cast_to=httpx2.Response)

    scores = [relevance("what is asked?", document) for document in documents]
    order = sorted(range(1000), key=lambda index: -scores[index])
    results = reply.json()["results"]
    assert order == [result["index"] for result in results]
    assert [scores[index] for index in order] == [one["relevance_score"] for one in results]
    server = world[0].servers[name]
    assert [] == server.odd
    sizes = [asked.body.count(b"document number") for asked in server.seen]
    assert 1000 == sum(sizes)
    assert max(sizes) <= (32 if name.startswith("ranker tei") else 1000)
