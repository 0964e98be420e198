"""Chats over OCI: signed, at the address for streams, and refused with the cure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from doubles.chat_upstream import WORDS, ChatUpstream
from doubles.oci_identity import FINGERPRINT, KEY_ID, TENANCY, USER, pem, private_key
from doubles.oci_platform import OCIPlatform
from doubles.serving import served
from embedway_gateway.config.schema import Config
from embedway_gateway.web.app import create_app

OCID = "ocid1.datasciencemodeldeployment.oc1.iad.xxx"
MESSAGES: list[Any] = [{"role": "user", "content": "Say something."}]
MODELS = {
    "predict": {"invoke": "predict", "path": "/v1/chat/completions"},
    "route": {"invoke": "route"},
    "suffix": {"invoke": "suffix"},
}


def config(url: str, key_file: Path) -> Config:
    login = {"tenancy": TENANCY, "user": USER, "fingerprint": FINGERPRINT}
    up = {"name": "up", "engine": "vllm", "platform": "oci", "url": f"{url}/{OCID}"}
    return Config.model_validate(
        {
            "credentials": {"prod": {"type": "oci", "key_file": str(key_file), **login}},
            "models": [
                {
                    "name": name,
                    "capabilities": ["chat"],
                    "upstreams": [{**up, "credentials": "prod", "model": "odsc-llm", **more}],
                }
                for name, more in MODELS.items()
            ],
        }
    )


class World:
    """The stand-ins and the gateway."""

    def __init__(self, platform: OCIPlatform, engine: ChatUpstream, url: str) -> None:
        self.platform = platform
        self.engine = engine
        self.url = url


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    engine = ChatUpstream()
    platform = OCIPlatform(engine, {KEY_ID: private_key().public_key()})
    key_file = tmp_path_factory.mktemp("oci") / "key.pem"
    key_file.write_bytes(pem(private_key()))
    with served(platform) as oci, served(create_app(config(oci, key_file))) as gateway:
        yield World(platform, engine, gateway)


@pytest.fixture
def world(everything: World) -> World:
    everything.engine.reset()
    everything.platform.faults.clear()
    everything.platform.verdicts.clear()
    everything.platform.seen.clear()
    return everything


@pytest.mark.parametrize("model", MODELS)
def test_a_stream_is_signed_and_sent_to_the_address_for_streams(world: World, model: str) -> None:
    with openai.OpenAI(base_url=f"{world.url}/v1", api_key="none", max_retries=0) as client:
        stream = client.chat.completions.create(model=model, messages=MESSAGES, stream=True)
        words = [choice.delta.content for chunk in stream for choice in chunk.choices]

    assert list(WORDS) == words
    assert {"ok": 1} == dict(world.platform.verdicts)
    assert "true" == world.platform.seen[0]["enable-streaming"]
    assert world.platform.targets[-1].startswith(f"/{OCID}/predictWithResponseStream")
    reached = "/predict" if model == "predict" else "/v1/chat/completions"
    assert [reached] == world.engine.paths


def test_a_chat_without_a_stream_goes_to_predict(world: World) -> None:
    response = httpx.post(
        f"{world.url}/v1/chat/completions", json={"model": "route", "messages": MESSAGES}
    )

    assert 200 == response.status_code, response.text
    assert f"/{OCID}/predict" == world.platform.targets[-1]
    assert "enable-streaming" not in world.platform.seen[0]


def test_who_hangs_up_is_noticed_behind_the_platform(world: World) -> None:
    world.engine.held = True
    world.engine.release()
    body = {"model": "suffix", "messages": MESSAGES, "stream": True}

    with httpx.stream("POST", f"{world.url}/v1/chat/completions", json=body) as stream:
        assert next(stream.iter_bytes())

    assert world.engine.hung_up.wait(5)


def test_a_refused_signature_is_made_afresh_once(world: World) -> None:
    world.platform.faults.append(401)
    body = {"model": "route", "messages": MESSAGES, "stream": True}

    response = httpx.post(f"{world.url}/v1/chat/completions", json=body)

    assert 200 == response.status_code, response.text


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [(409, 502, "MODEL_DEPLOY_ENABLE_STREAMING"), (404, 502, "policy"), (413, 400, "10 MB")],
)
def test_what_the_platform_refuses_is_told_with_the_cure(
    world: World, fault: int, status: int, words: str
) -> None:
    world.platform.faults.extend([fault] * 9)
    body = {"model": "route", "messages": MESSAGES, "stream": True}

    response = httpx.post(f"{world.url}/v1/chat/completions", json=body)

    assert status == response.status_code, response.text
    assert words in response.json()["error"]["message"]


def test_a_deployment_with_one_path_refuses_the_other_task(world: World) -> None:
    response = httpx.post(
        f"{world.url}/v1/completions", json={"model": "predict", "prompt": "Once"}
    )

    assert 502 == response.status_code
    assert "for chat" in response.json()["error"]["message"]
    assert [] == world.engine.paths
