"""What `embedway check` says of each mistake that is often made, from the file to the exit code."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from doubles.aicore_api import AICoreAPI
from doubles.configured import OCID, Configured, File, untrusted
from doubles.engine_infinity import Infinity
from doubles.engine_ovms import OVMS
from doubles.engine_tei import TEI
from doubles.engine_vllm import VLLM
from doubles.oci_identity import (
    Identity,
    private_key,
    write_api_key,
    write_profile,
)
from doubles.openai_upstream import _reply
from doubles.serving import free_port
from embedway_gateway.cli.app import application

NOWHERE = "https://nowhere.invalid"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Configured]:
    world = Configured(tmp_path)
    with world.open:
        yield world


def classifies(status: int, text: str) -> Any:
    """TEI's own `/predict`, which a container is asked at that names no other path."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await _reply(send, status if scope["path"] == "/predict" else 404, text.encode())

    return app


UNREAD = "Failed to deserialize the JSON body into the target type: missing field `inputs`"
OTHER_TASK = '{"error":"Model is not a classification model","error_type":"Backend"}'


def expired_session(world: Configured) -> File:
    token = world.folder / "token"
    token.write_text(Identity().token(private_key(), -60))
    world.api_key()
    key_file, token_file = str(world.folder / "key.pem"), str(token)
    file = write_profile(world.folder, key_file=key_file, security_token_file=token_file)
    text = file.read_text().replace("[DEFAULT]", "[MINE]")
    file.write_text(text)
    login = {"type": "oci", "principal": "session", "config_file": str(file), "profile": "MINE"}
    return world.oci(login=login)


def wrong_pass_phrase(world: Configured) -> File:
    file = write_api_key(world.folder, pass_phrase="planted-secret")
    login = {"type": "oci", "config_file": str(file), "pass_phrase": "planted-secret-2"}
    return world.oci(login=login)


def missing_profile(world: Configured) -> File:
    file = write_api_key(world.folder)
    return world.oci(login={"type": "oci", "config_file": str(file), "profile": "PROD"})


MISTAKES: dict[str, tuple[Callable[[Configured], File], str]] = {
    "nothing listens": (
        lambda world: world.file(url=f"http://127.0.0.1:{free_port()}"),
        "nothing listens there; check host and port in `url:`",
    ),
    "no such host": (
        lambda world: world.file(url=NOWHERE),
        "the host in its `url:` has no address; check its spelling",
    ),
    "https to a port without TLS": (
        lambda world: world.file(url=world.serve(TEI()).replace("http:", "https:")),
        "does not speak TLS there; check the port in `url:`, or write http://",
    ),
    "wrong path": (
        lambda world: world.plain(TEI(), path="/v9/embeddings"),
        "no such route; check `engine:`, `url:` and `path:`",
    ),
    "wrong base": (
        lambda world: world.file(url=world.serve(TEI()) + "/api"),
        "no such route; check `engine:`, `url:` and `path:`",
    ),
    "tei that is an ovms": (
        lambda world: world.plain(OVMS(version="2025.4")),
        "It answers as ovms does: set `engine: ovms`",
    ),
    "ovms that is a tei": (
        lambda world: world.plain(TEI(), engine="ovms"),
        "It answers as tei 1.9.3 does: set `engine: tei`",
    ),
    "openai that is an infinity": (
        lambda world: world.plain(Infinity(), engine="openai"),
        "It answers as infinity does: set `engine: infinity`",
    ),
    "a name that vllm does not serve": (
        lambda world: world.plain(VLLM(model="odsc-llm"), engine="vllm"),
        "It does not serve 'model' but 'odsc-llm': set `model:`",
    ),
    "a name that ovms does not serve": (
        lambda world: world.plain(OVMS(model="graph"), engine="ovms"),
        "It does not serve 'model' but 'graph': set `model:`",
    ),
    "no API key": (
        lambda world: world.plain(TEI(key="planted-secret")),
        "None are configured: the server wants an API key; add `credentials:`",
    ),
    "wrong API key": (
        lambda world: world.plain(
            TEI(key="planted-secret"), login={"type": "bearer", "token": "planted-secret-2"}
        ),
        "refuses the gateway's credentials; check `credentials:`",
    ),
    "wrong dimensions": (
        lambda world: world.plain(TEI(), model={"dimensions": 384}),
        "its vectors have 8 dimensions, and the model's `dimensions:` says 384: correct that",
    ),
    "a reranker that is to embed": (
        lambda world: world.plain(TEI(kind="reranker")),
        "Its model can rerank, not embed: correct `capabilities:`",
    ),
    "an embedder that is to rerank": (
        lambda world: world.plain(TEI(), model={"capabilities": ["rerank"], "dimensions": None}),
        "Its model can embed, not rerank: correct `capabilities:`",
    ),
    "more texts than it takes": (
        lambda world: world.plain(TEI(), max_inputs=64),
        "it refuses more than 32 texts at once, and `max_inputs:` of the upstream says 64",
    ),
    "wrong OCID, or no policy": (
        lambda world: world.oci(refuses=[404] * 9),
        "finds the deployment, ACTIVE, when only the policy is missing; add it: allow group",
    ),
    "a clock that is behind": (
        lambda world: world.oci(clock=lambda: time.time() + 3000),
        "seconds behind the platform's, and 300 are allowed; set the clock",
    ),
    "another region's host": (
        lambda world: world.file(
            world.api_key(),
            platform="oci",
            url=f"https://modeldeployment.us-phoenix-1.oci.invalid/{OCID}",
        ),
        "The host in `url:` is of us-phoenix-1, and the OCID is of us-ashburn-1",
    ),
    "expired session": (expired_session, "oci session authenticate --profile-name MINE"),
    "another key's fingerprint": (
        lambda world: world.oci(keys={}),
        "The fingerprint in the configuration is not the private key's, which is ",
    ),
    "no key file": (
        lambda world: world.oci(login=world.api_key(key_file="/nowhere/key.pem")),
        "the OCI private key cannot be read: check that it exists and who may read it (/nowhere",
    ),
    "wrong pass phrase": (wrong_pass_phrase, "check pass_phrase"),
    "no such profile": (missing_profile, "no such profile: check profile ('PROD' in "),
    "predict, but the container has another path": (
        lambda world: world.oci(classifies(422, UNREAD)),
        "has MODEL_DEPLOY_PREDICT_ENDPOINT=/v1/embeddings: set that, or call it with `invoke:",
    ),
    "predict, and the container classifies": (
        lambda world: world.oci(classifies(424, OTHER_TASK)),
        "has MODEL_DEPLOY_PREDICT_ENDPOINT=/v1/embeddings: set that, or call it with `invoke:",
    ),
    "suffix that is not offered": (
        lambda world: world.oci(refuses=[405] * 9, invoke="suffix"),
        "`invoke: suffix` needs a deployment that offers /v1/embeddings",
    ),
    "wrong client secret": (
        lambda world: world.aicore(login={"client_secret": "planted-secret-2"}),
        "does not accept the client's id and secret",
    ),
    "a token_url that is not there": (
        lambda world: world.aicore(login={"token_url": world.serve(TEI()) + "/token"}),
        "token_url is not a token endpoint; on SAP BTP it ends in /oauth/token",
    ),
    "a token_url that is a page": (
        lambda world: world.aicore(api=AICoreAPI(token_faults=deque([b"<html>planted-secret"]))),
        "token_url is not a token endpoint; on SAP BTP it ends in /oauth/token",
    ),
    "wrong resource group": (
        lambda world: world.aicore(resource_group="other"),
        "AI Core lets these credentials into no resource group 'other'",
    ),
    "wrong deployment": (
        lambda world: world.aicore(deployment="d2"),
        "AI Core knows no such deployment in the resource group 'default'",
    ),
}


@pytest.mark.parametrize(("setup", "words"), MISTAKES.values(), ids=MISTAKES)
def test_the_likely_cause_is_named_with_its_cure(
    world: Configured, setup: Callable[[Configured], File], words: str
) -> None:
    path = world.folder / "embedway.yaml"
    path.write_text(yaml.safe_dump(setup(world)))

    result = CliRunner().invoke(application(), ["check", "--config", str(path)])

    assert words in result.stdout
    assert result.exit_code == 1
    assert "planted" not in result.output
    assert "http://127" not in result.output


def test_a_wrong_clock_is_not_blamed_on_the_key(world: Configured) -> None:
    path = world.folder / "embedway.yaml"
    path.write_text(yaml.safe_dump(world.oci(clock=lambda: time.time() + 3000)))

    result = CliRunner().invoke(application(), ["check", "--config", str(path)])

    assert "set the clock" in result.stdout
    assert "fingerprint" not in result.stdout


def test_a_certificate_of_nobody_is_named(world: Configured) -> None:
    port = world.open.enter_context(untrusted(world.folder))
    path = world.folder / "embedway.yaml"
    path.write_text(yaml.safe_dump(world.file(url=f"https://127.0.0.1:{port}")))

    result = CliRunner().invoke(application(), ["check", "--config", str(path)])

    assert "its certificate is not trusted for this host" in result.stdout
    assert result.exit_code == 1
