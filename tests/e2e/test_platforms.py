"""One configuration with every engine on every platform; each answer is the engine's own."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from doubles.aicore_api import AICoreAPI
from doubles.oci_identity import FINGERPRINT, KEY_ID, TENANCY, USER, pem, private_key
from doubles.oci_platform import OCIPlatform
from doubles.openai_upstream import OpenAIUpstream
from doubles.proven import prove
from doubles.serving import served
from embedway_gateway.config.schema import Config
from embedway_gateway.web.app import Gateway, create_app
from embedway_upstream.testing import fake_vectors

OCID = "ocid1.datasciencemodeldeployment.oc1.iad.xxx"
TEXTS = [f"text number {index}" for index in range(150)]
MODELS = {
    "tei on oci": ("tei", "oci", {"invoke": "predict"}),
    "tei by route": ("tei", "oci", {"invoke": "route"}),
    "vllm by suffix": ("vllm", "oci", {"invoke": "suffix"}),
    "ovms by route": ("ovms", "oci", {"invoke": "route"}),
    "score.py on oci": ("onnx", "oci", {}),
    "infinity on ai core": ("infinity", "aicore", {"resource_group": "default"}),
    "infinity plain": ("infinity", "plain", {}),
    "tei plain": ("tei", "plain", {}),
    "vllm plain": ("vllm", "plain", {}),
    "ovms plain": ("ovms", "plain", {}),
}
PATHS = {
    "tei on oci": "/predict",
    "tei by route": "/v1/embeddings",
    "vllm by suffix": "/v1/embeddings",
    "ovms by route": "/v3/embeddings",
    "score.py on oci": "/predict",
    "infinity on ai core": "/v1/embeddings",
    "infinity plain": "/embeddings",
    "tei plain": "/v1/embeddings",
    "vllm plain": "/v1/embeddings",
    "ovms plain": "/v3/embeddings",
}


class World:
    """The stand-ins, and where they are."""

    def __init__(self, tmp_path: Path) -> None:
        self.engine = OpenAIUpstream()
        key = private_key()
        self.oci = OCIPlatform(self.engine, {KEY_ID: key.public_key()})
        self.aicore = AICoreAPI(engine=self.engine)
        self.key_file = tmp_path / "key.pem"
        self.key_file.write_bytes(pem(key))

    def config(self, oci: str, aicore: str, plain: str) -> Config:
        self.aicore.add(1, aicore, name="c", model="m")
        urls = {
            "oci": f"{oci}/{OCID}",
            "aicore": f"{aicore}/v2/inference/deployments/d1",
            "plain": plain,
        }
        logins = {"oci": "prod", "aicore": "sap", "plain": None}
        return Config.model_validate(
            {
                "credentials": {
                    "prod": {
                        "type": "oci",
                        "tenancy": TENANCY,
                        "user": USER,
                        "fingerprint": FINGERPRINT,
                        "key_file": str(self.key_file),
                    },
                    "sap": {
                        "type": "oauth2",
                        "token_url": f"{aicore}/oauth/token",
                        "client_id": "client",
                        "client_secret": "planted-secret",
                    },
                },
                "models": [
                    {
                        "name": name,
                        "dimensions": 8,
                        "upstreams": [
                            {
                                "name": "up",
                                "engine": engine,
                                "platform": platform,
                                "url": urls[platform],
                                "credentials": logins[platform],
                                **more,
                            }
                        ],
                    }
                    for name, (engine, platform, more) in MODELS.items()
                ],
            }
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Config]]:
    world = World(tmp_path_factory.mktemp("oci"))
    with served(world.oci) as oci, served(world.aicore) as aicore, served(world.engine) as plain:
        yield world, world.config(oci, aicore, plain)


@pytest.fixture
async def gateway(world: tuple[World, Config]) -> AsyncIterator[Gateway]:
    world[0].oci.faults.clear()
    gateway = create_app(world[1])
    await prove(gateway)
    world[0].engine.reset()
    world[0].oci.verdicts.clear()
    yield gateway
    await gateway.close()


async def ask(gateway: Gateway, name: str, texts: list[str]) -> httpx.Response:
    transport = httpx.ASGITransport(gateway)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        body = {"model": name, "input": texts, "encoding_format": "base64"}
        return await client.post("/v1/embeddings", json=body)


def vectors(response: httpx.Response) -> Any:
    assert 200 == response.status_code, response.text
    rows = [base64.b64decode(item["embedding"]) for item in response.json()["data"]]
    return np.array([np.frombuffer(row, "<f4") for row in rows])


@pytest.mark.parametrize("name", MODELS)
async def test_every_engine_answers_on_its_platform(
    gateway: Gateway, world: tuple[World, Config], name: str
) -> None:
    response = await ask(gateway, name, TEXTS)

    np.testing.assert_array_equal(fake_vectors(TEXTS, 8), vectors(response))
    assert name == response.json()["model"]
    assert {PATHS[name]} == {seen.path for seen in world[0].engine.seen}
    if MODELS[name][0] == "tei":
        assert 5 == len(world[0].engine.seen), "32 texts at a time"


async def test_every_call_to_oci_is_signed_for_itself(
    gateway: Gateway, world: tuple[World, Config]
) -> None:
    await ask(gateway, "tei on oci", TEXTS)

    assert {"ok": 5} == dict(world[0].oci.verdicts)
    assert 5 == len({seen["opc-request-id"] for seen in world[0].oci.seen[-5:]})


@pytest.mark.parametrize(
    ("fault", "status", "attempts", "part"),
    [
        (401, 502, 2, "clock"),
        (404, 502, 1, "policy"),
        (503, 502, 3, ""),
        ((429, "LB bandwidth limit exceeded."), 429, 3, ""),
        (413, 400, 1, ""),
    ],
)
async def test_what_oci_refuses_is_told_with_its_likely_cause(
    gateway: Gateway,
    world: tuple[World, Config],
    fault: Any,
    status: int,
    attempts: int,
    part: str,
) -> None:
    world[0].oci.faults.extend([fault] * 20)
    before = len(world[0].oci.seen)

    response = await ask(gateway, "tei on oci", ["a"])

    assert status == response.status_code, response.text
    assert attempts == len(world[0].oci.seen) - before
    assert part in response.json()["error"]["message"]
    assert OCID not in response.text
    assert "secret words" not in response.text


async def test_a_401_is_signed_afresh_and_tried_once_more(
    gateway: Gateway, world: tuple[World, Config]
) -> None:
    world[0].oci.faults.append(401)

    np.testing.assert_array_equal(
        fake_vectors(["a"], 8), vectors(await ask(gateway, "tei on oci", ["a"]))
    )


async def test_a_token_that_ai_core_forgot_is_renewed(
    gateway: Gateway, world: tuple[World, Config]
) -> None:
    await ask(gateway, "infinity on ai core", ["a"])
    world[0].aicore.rotate()

    response = await ask(gateway, "infinity on ai core", ["b"])

    np.testing.assert_array_equal(fake_vectors(["b"], 8), vectors(response))
