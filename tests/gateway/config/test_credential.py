"""The logins to AI Core that a configuration may name, from the file to an accepted token."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from doubles.aicore_api import AICoreAPI
from doubles.serving import served
from embedway_gateway.assemble import assemble
from embedway_gateway.config.credential import make_credentials
from embedway_gateway.config.load import ConfigError, load_config
from embedway_gateway.config.schema import Config
from embedway_gateway.metric import Metrics
from embedway_gateway.wire import WireTransport
from embedway_upstream import EmbeddingRequest, UpstreamRefused
from embedway_upstream.credentials.error import CredentialsError

SECRET = "planted-secret"
MODELS = 'models: [{name: a, dimensions: 3, upstreams: [{name: a, engine: tei, url: "https://x"}]}]'


@pytest.fixture
def aicore() -> Iterator[tuple[AICoreAPI, str]]:
    api = AICoreAPI(resource_group="research")
    with served(api) as url:
        api.add(1, url, name="c", model="m")
        yield api, url


@pytest.fixture(autouse=True)
def _no_login_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AICORE_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("VCAP_SERVICES", raising=False)
    monkeypatch.setenv("AICORE_HOME", "/nowhere")


def key(url: str, **changes: Any) -> dict[str, Any]:
    services = {"AI_API_URL": url}
    whole = {"clientid": "client", "clientsecret": SECRET, "url": url, "serviceurls": services}
    return {**whole, **changes}


def load(tmp_path: Path, credentials: str, environment: dict[str, str] | None = None) -> Config:
    path = tmp_path / "embedway.yaml"
    path.write_text(f"credentials:\n  sap: {credentials}\n{MODELS}\n", "utf-8")
    return load_config(path, environment or {})


def problems(tmp_path: Path, *given: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, *given)
    assert SECRET not in str(caught.value)
    return caught.value.problems


def token(config: Config) -> str:
    credentials = make_credentials(config.credentials["sap"])
    credentials.refresh()
    return credentials.sign("GET", "", {}, b"")["authorization"]


def test_a_service_key_from_the_environment(tmp_path: Path, aicore: tuple[AICoreAPI, str]) -> None:
    text = json.dumps(key(aicore[1]), indent=1)
    config = load(tmp_path, '{type: aicore, service_key: "${SAP}"}', {"SAP": text})

    assert "Bearer planted-token-1" == token(config)
    assert SECRET not in f"{config!r} {config.model_dump_json()}"
    # The workers of `embedway serve` get it so.
    assert config == pickle.loads(pickle.dumps(config))


def test_a_service_key_that_is_pasted_into_the_file(
    tmp_path: Path, aicore: tuple[AICoreAPI, str]
) -> None:
    """JSON is YAML, so that it arrives as a mapping."""
    whole = json.dumps(key(aicore[1], clientsecret="${SECRET}"))
    config = load(tmp_path, f"{{type: aicore, service_key: {whole}}}", {"SECRET": SECRET})

    assert "Bearer planted-token-1" == token(config)
    assert SECRET not in repr(config)


def test_a_service_key_in_a_file_is_read_again_for_each_token(
    tmp_path: Path, aicore: tuple[AICoreAPI, str]
) -> None:
    """A mounted secret is replaced where it lies when the service key is rotated."""
    api, url = aicore
    file = tmp_path / "key.json"
    file.write_text(json.dumps(key(url)))
    config = load(tmp_path, f"{{type: aicore, service_key_file: {file}}}")
    credentials = make_credentials(config.credentials["sap"])
    credentials.refresh()

    api.client_secret = "another"
    file.write_text(json.dumps(key(url, clientsecret="another")))
    assert credentials.refresh(force=True)
    assert ["planted-secret", "another"] == [form["client_secret"] for form in api.forms]

    file.write_text("{")
    with pytest.raises(CredentialsError, match="cannot be read again") as caught:
        credentials.refresh(force=True)
    assert "the file with the service key is not a JSON object" == caught.value.detail


def test_with_nothing_stated_it_is_what_saps_sdk_would_find(
    tmp_path: Path, aicore: tuple[AICoreAPI, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AICORE_CLIENT_ID", "client")
    monkeypatch.setenv("AICORE_CLIENT_SECRET", SECRET)
    monkeypatch.setenv("AICORE_AUTH_URL", aicore[1])

    assert "Bearer planted-token-1" == token(load(tmp_path, "{type: aicore}"))


@pytest.mark.parametrize(
    ("credentials", "says"),
    [
        ("{type: aicore}", "no login to SAP AI Core: the environment has no AICORE_SERVICE_KEY"),
        ("{type: aicore, service_key: planted-secret}", "service_key is not a JSON object"),
        ('{type: aicore, service_key: "{}"}', "service_key lacks clientid; url; clientsecret, or"),
        ("{type: aicore, service_key: {clientid: a}}", "service_key lacks url; clientsecret, or"),
        ("{type: aicore, service_key_file: /planted-secret}", "cannot be read: No such file"),
        ("{type: aicore, service_key: {}, service_key_file: x}", "either service_key or"),
        ("{type: aicore, service_key_fil: x}", "did you mean 'service_key_file'?"),
        (
            "{type: oci, principal: token_exchange, client_id: planted-secret}",
            "principal token_exchange needs domain_url, client_secret, token_file",
        ),
    ],
)
def test_what_is_missing_is_named_at_its_place(tmp_path: Path, credentials: str, says: str) -> None:
    (problem,) = problems(tmp_path, credentials)

    assert problem.startswith("credentials.sap: ")
    assert says in problem


def test_a_variable_that_is_not_set_is_the_only_complaint(tmp_path: Path) -> None:
    found = problems(tmp_path, '{type: aicore, service_key: "${SAP}"}')

    assert ["credentials.sap.service_key: the environment has no variable SAP"] == found


def configured(url: str, place: dict[str, Any], **upstream: Any) -> Config:
    found = {"type": "aicore", "scenario_id": "scenario", "credentials": "sap"}
    static = {"name": "up", "engine": "infinity", "platform": "aicore", "credentials": "sap"}
    static["url"] = f"{url}/v2/inference/deployments/d1"
    return Config.model_validate(
        {
            "credentials": {"sap": {"type": "aicore"}},
            "discovery": [{**found, **place}],
            "models": [{"name": "s", "dimensions": 8, "upstreams": [{**static, **upstream}]}],
        }
    )


async def answering(config: Config) -> list[str]:
    """The models that answer: `s` of the configuration, `m` of discovery."""
    transport = WireTransport()
    models, discovered = assemble(config, transport, Metrics())
    assert discovered is not None
    answered = []
    try:
        await discovered.look()
        for name in models:
            with suppress(UpstreamRefused):
                await models.find(name).service.send(EmbeddingRequest(name, ("a",)))
                answered.append(name)
    finally:
        await transport.close()
    return sorted(answered)


@pytest.mark.parametrize(
    ("group", "place", "upstream", "answers"),
    [
        ("research", {}, {}, ["m", "s"]),
        ("other", {}, {"resource_group": "research"}, ["s"]),
        ("", {"resource_group": "research"}, {}, ["m"]),
        ("", {}, {}, []),
    ],
    ids=["of the credentials", "stated above", "stated for discovery", "default"],
)
async def test_address_and_resource_group_are_what_the_credentials_say(
    aicore: tuple[AICoreAPI, str],
    monkeypatch: pytest.MonkeyPatch,
    group: str,
    place: dict[str, Any],
    upstream: dict[str, Any],
    answers: list[str],
) -> None:
    monkeypatch.setenv("AICORE_SERVICE_KEY", json.dumps(key(aicore[1])))
    monkeypatch.setenv("AICORE_RESOURCE_GROUP", group)

    assert answers == await answering(configured(aicore[1], place, **upstream))


async def test_an_address_that_is_stated_wins(
    aicore: tuple[AICoreAPI, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = {"AI_API_URL": "http://127.0.0.1:9"}
    monkeypatch.setenv("AICORE_SERVICE_KEY", json.dumps(key(aicore[1], serviceurls=nowhere)))
    monkeypatch.setenv("AICORE_RESOURCE_GROUP", "research")

    assert ["m", "s"] == await answering(configured(aicore[1], {"api_url": aicore[1]}))


@pytest.mark.parametrize("kind", ["aicore", "bearer"])
def test_discovery_needs_an_address_from_somewhere(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("AICORE_SERVICE_KEY", json.dumps(key("https://x", serviceurls={})))
    login = {"type": kind} if kind == "aicore" else {"type": kind, "token": SECRET}
    place = {"type": "aicore", "scenario_id": "scenario", "credentials": "sap"}

    with pytest.raises(ValueError, match=r"discovery\[0\].api_url: is missing.*AI_API_URL"):
        Config.model_validate({"credentials": {"sap": login}, "discovery": [place]})


@pytest.mark.parametrize("name", ["config_file", "key_file", "token_file"])
@pytest.mark.parametrize(
    "secret", [f"-----BEGIN PRIVATE KEY-----\n{SECRET}", f"eyJhbGciOiJSUzI1NiJ9.{SECRET}.c2ln"]
)
def test_a_secret_where_its_file_belongs_is_refused(tmp_path: Path, name: str, secret: str) -> None:
    given = f'{{type: oci, {name}: "${{TOKEN}}"}}'
    found = problems(tmp_path, given, {"TOKEN": secret})

    assert any(name in one and "write the path" in one for one in found)
    assert SECRET not in "".join(found)
