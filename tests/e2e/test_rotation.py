"""Nobody who calls the gateway notices that its credentials rotate, whatever their kind."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from doubles.aicore_rotation import RotatingAICore
from doubles.oci_identity import FINGERPRINT, TENANCY, Identity, Rotation, write_profile
from doubles.oci_platform import OCIPlatform
from doubles.openai_upstream import OpenAIUpstream
from doubles.proven import prove
from doubles.serving import served
from embedway_gateway.config.schema import Config
from embedway_gateway.web.app import create_app
from embedway_upstream.testing import fake_vectors

CALLERS = 16
Ask = Callable[[str, str], Any]


@pytest.fixture
def aicore() -> Iterator[tuple[RotatingAICore, str]]:
    api = RotatingAICore()
    with served(api) as url:
        api.add(1, url, name="c", model="m")
        yield api, url


def sap(url: str) -> dict[str, Any]:
    key = {"clientid": "client", "clientsecret": "planted-secret", "url": url}
    return {"type": "aicore", "service_key": json.dumps(key)}


def model(name: str, engine: str, platform: str, url: str) -> dict[str, Any]:
    upstream = {"name": "up", "engine": engine, "platform": platform, "url": url}
    # One text a call, so that texts that wait together are not fewer calls.
    upstream |= {"credentials": name, "max_inputs": 1}
    return {"name": name, "dimensions": 8, "upstreams": [upstream]}


@asynccontextmanager
async def asking(credentials: dict[str, Any], *models: dict[str, Any]) -> AsyncIterator[Ask]:
    """Asks a gateway, and refuses any answer but the right vectors."""
    gateway = create_app(Config.model_validate({"credentials": credentials, "models": models}))
    transport = httpx.ASGITransport(gateway)

    async def ask(name: str, text: str) -> None:
        body = {"model": name, "input": [text], "encoding_format": "base64"}
        response = await client.post("/v1/embeddings", json=body)
        assert 200 == response.status_code, response.text
        vector = np.frombuffer(base64.b64decode(response.json()["data"][0]["embedding"]), "<f4")
        np.testing.assert_array_equal(fake_vectors([text], 8)[0], vector)

    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        try:
            await prove(gateway)
            yield ask
        finally:
            await gateway.close()


async def test_tokens_that_others_make_void(aicore: tuple[RotatingAICore, str]) -> None:
    """
    Another client gets a token every 60 calls, and 40 calls later the gateway's is refused in
    mid-flight. Time is counted in calls, so that a busy machine changes nothing.
    """
    api, url = aicore
    api.clock = lambda: float(len(api.seen))
    api.overlap, api.every = 40.0, 60.0
    deployment = f"{url}/v2/inference/deployments/d1"

    async with asking({"sap": sap(url)}, model("sap", "infinity", "aicore", deployment)) as ask:
        api.verdicts.clear()

        async def caller(number: int) -> None:
            for turn in range(40):
                await ask("sap", f"{number} {turn}")

        await asyncio.gather(*(caller(number) for number in range(CALLERS)))

    assert CALLERS * 40 == api.verdicts["ok"]
    assert 0 == api.verdicts["unknown"]
    assert api.verdicts["over"] >= 5, "it did rotate"
    # One login for each time that the token was refused, however many calls were.
    assert len(api.forms) <= 1 + api.verdicts["over"]
    assert len(api.forms) <= 1 + len(api.seen) // 40


@contextmanager
def rotating(files: Rotation) -> Iterator[None]:
    over = threading.Event()

    def run() -> None:
        while not over.wait(0.5):
            files.turn()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


async def test_every_kind_rotates_at_once_under_load(
    aicore: tuple[RotatingAICore, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """16 callers; session files, a resource principal's files and OAuth tokens."""
    api, url = aicore
    api.expires_in = 0.8
    identity = Identity()
    platform = OCIPlatform(OpenAIUpstream(), identity=identity)
    pairs = {}
    for name in ("session", "resource"):
        (tmp_path / name).mkdir()
        pairs[name] = Rotation(tmp_path / name, identity, life=2.0)
        pairs[name].turn()
    profile = write_profile(
        tmp_path,
        fingerprint=FINGERPRINT,
        tenancy=TENANCY,
        key_file=str(pairs["session"].key_file),
        security_token_file=str(pairs["session"].token_file),
    )
    names = ("VERSION", "RPST", "PRIVATE_PEM")
    of_resource = ("2.2", str(pairs["resource"].token_file), str(pairs["resource"].key_file))
    for variable, value in zip(names, of_resource, strict=True):
        monkeypatch.setenv(f"OCI_RESOURCE_PRINCIPAL_{variable}", value)
    credentials = {
        "session": {"type": "oci", "principal": "session", "config_file": str(profile)},
        "resource": {"type": "oci", "principal": "resource"},
        "sap": sap(url),
    }
    with served(platform) as oci, rotating(pairs["session"]), rotating(pairs["resource"]):
        models = [model(name, "vllm", "oci", f"{oci}/ocid1.x") for name in pairs]
        models += [model("sap", "infinity", "aicore", f"{url}/v2/inference/deployments/d1")]
        end = time.monotonic() + 3.0

        async with asking(credentials, *models) as ask:

            async def caller(number: int) -> None:
                turn = number
                while time.monotonic() < end:
                    await ask(("session", "resource", "sap")[turn % 3], f"{number} {turn}")
                    turn += 1
                    await asyncio.sleep(0.01)

            await asyncio.gather(*(caller(number) for number in range(CALLERS)))

    assert 0 == platform.verdicts["signature"] == platform.verdicts["token unknown"]
    assert 0 == api.verdicts["unknown"]
    assert platform.verdicts["ok"] > 60
    assert api.verdicts["ok"] > 30
    assert all(files.turns >= 4 for files in pairs.values())
    assert len(api.forms) >= 3
