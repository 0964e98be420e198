"""What is accepted as credentials, how it is renewed, and what is said when it is wrong."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from pydantic import SecretStr

from doubles.oci_identity import Rotation, write_api_key, write_profile
from embedway_client import Client, aicore_credentials
from embedway_client.credential import accepted
from embedway_upstream import Bearer, CredentialsError, UpstreamRefused
from embedway_upstream.credentials import principal
from embedway_upstream.testing import fake_vectors

OCID = "ocid1.datasciencemodeldeployment.oc1.iad.xxx"
SECRET = "planted-secret"


def test_a_signer_of_the_sdk_and_the_dict_of_ads(world, direct, ask):
    signer = world.signer()
    for given in (signer, {"config": {}, "signer": signer, "client_kwargs": {}}, accepted(signer)):
        with direct(**world.on_oci(credentials=given)) as client:
            ask(client, ["a"])

    assert dict(world.oci.verdicts) == {"ok": 3}


def test_credentials_of_ours(world, direct, ask, tmp_path):
    credentials = principal.api_key(config_file=str(write_api_key(tmp_path)))
    with direct(**world.on_oci(credentials=credentials)) as client:
        ask(client, ["a"])

    assert dict(world.oci.verdicts) == {"ok": 1}


@pytest.mark.parametrize("token", [SECRET, SecretStr(SECRET), Bearer(SECRET)])
def test_a_token(world, direct, ask, token):
    with direct(**world.on_plain(credentials=token)) as client:
        ask(client, ["a"])
        assert SECRET not in repr(client)

    assert world.engine.seen[0].headers["authorization"] == f"Bearer {SECRET}"


def test_none(world, direct, ask):
    with direct(**world.on_plain()) as client:
        ask(client, ["a"])

    assert "authorization" not in world.engine.seen[0].headers


def test_a_service_key_of_ai_core_and_the_newest_token_for_it(world, direct, ask):
    with direct(**world.on_aicore()) as client:
        ask(client, ["a"])
        world.aicore.rotate()
        result = ask(client, ["b"])

    np.testing.assert_array_equal(result.vectors, fake_vectors(["b"], 8))
    assert len(world.aicore.forms) == 2


@pytest.mark.parametrize("place", ["dict", "text", "file", "environment"])
def test_a_service_key_wherever_it_is(world, direct, ask, place, tmp_path, monkeypatch):
    key = world.service_key()
    file = tmp_path / "key.json"
    file.write_text(json.dumps(key))
    monkeypatch.setenv("AICORE_SERVICE_KEY", json.dumps(key))
    given = {
        "dict": lambda: aicore_credentials(key),
        "text": lambda: json.dumps(key, indent=1),
        "file": lambda: aicore_credentials(service_key_file=str(file)),
        "environment": aicore_credentials,
    }[place]()
    with direct(**world.on_aicore(credentials=given)) as client:
        ask(client, ["a"])
        assert SECRET not in repr(client)

    assert [form["client_secret"] for form in world.aicore.forms] == [SECRET]


def test_a_service_key_in_the_environment_may_be_replaced(world, direct, ask, monkeypatch):
    monkeypatch.setenv("AICORE_SERVICE_KEY", json.dumps(world.service_key(clientsecret="old")))
    credentials = aicore_credentials()
    monkeypatch.setenv("AICORE_SERVICE_KEY", json.dumps(world.service_key()))
    with direct(**world.on_aicore(credentials=credentials)) as client:
        ask(client, ["a"])

    assert [form["client_secret"] for form in world.aicore.forms] == [SECRET]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"service_key": "planted-secret"}, "the service key is not a JSON object"),
        ({"service_key": {"clientid": "planted-secret"}}, "lacks url; clientsecret, or"),
        ({"service_key_file": "/planted-secret"}, "file with the service key cannot be read"),
        ({"service_key": {}, "service_key_file": "x"}, "either service_key or service_key_file"),
        ({}, "no login to SAP AI Core"),
    ],
)
def test_what_a_service_key_lacks_is_told(given, says, monkeypatch):
    for name in ("AICORE_SERVICE_KEY", "AICORE_CLIENT_ID", "VCAP_SERVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AICORE_HOME", "/nowhere")
    with pytest.raises(ValueError, match=says) as caught:
        aicore_credentials(**given)

    assert SECRET not in str(caught.value)


def test_a_401_is_signed_anew_once(world, direct, ask):
    world.oci.faults.append(401)
    with direct(**world.on_oci(max_retries=0)) as client:
        result = ask(client, ["a"])

    np.testing.assert_array_equal(result.vectors, fake_vectors(["a"], 8))
    assert len(world.oci.seen) == 2
    assert len({seen["opc-request-id"] for seen in world.oci.seen}) == 2


def test_an_engine_that_wants_a_key_of_its_own_costs_one_token(world, direct, ask):
    """Not two calls and a token for each request: the new one is refused as well."""
    world.engine.faults.extend([401] * 9)
    with direct(**world.on_aicore(max_retries=0)) as client:
        for _ in range(3):
            with pytest.raises(UpstreamRefused, match="API key of its own"):
                ask(client, ["a"])

    assert len(world.engine.seen) == 4
    assert len(world.aicore.forms) == 2


def test_a_token_file_is_read_again_when_its_token_is_refused(world, direct, ask, tmp_path):
    rotation = Rotation(tmp_path, world.oci.identity, life=3600, gap=0.0)
    rotation.turn()
    profile = write_profile(
        tmp_path,
        security_token_file=str(rotation.token_file),
        key_file=str(rotation.key_file),
        tenancy="t",
        region="us-ashburn-1",
        fingerprint="f",
    )
    credentials = principal.session(config_file=str(profile))
    with direct(**world.on_oci(credentials=credentials)) as client:
        ask(client, ["a"])
        world.oci.identity.issued.clear()
        rotation.turn()
        ask(client, ["a"])

    assert dict(world.oci.verdicts) == {"ok": 2, "token unknown": 1}


def test_a_wrong_key_is_told_with_what_is_likely(world, direct, ask):
    with (
        direct(**world.on_oci(credentials=world.signer(1))) as client,
        pytest.raises(UpstreamRefused, match="the key or its fingerprint is not the user's"),
    ):
        ask(client, ["a"])

    assert dict(world.oci.verdicts) == {"signature": 2}


def test_a_wrong_secret_is_told_with_where_to_look(world, direct, ask):
    wrong = world.service_key(clientsecret="not-this-one")
    with (
        direct(**world.on_aicore(credentials=wrong)) as client,
        pytest.raises(CredentialsError, match="service key") as caught,
    ):
        ask(client, ["a"])

    assert "not-this-one" not in f"{caught.value!r} {caught.value.detail}"
    assert len(world.aicore.forms) == 1


def test_a_wrong_resource_group_is_named(world, direct, ask):
    with (
        direct(**world.on_aicore(resource_group="other")) as client,
        pytest.raises(UpstreamRefused, match="resource group 'other'"),
    ):
        ask(client, ["a"])


@pytest.mark.parametrize("engine", ["tei", "infinity", "vllm"])
def test_a_wrong_token_names_the_keyword(world, direct, ask, engine):
    world.engine.faults.extend([401] * 9)
    with (
        direct(**world.on_plain(credentials=SECRET, engine=engine)) as client,
        pytest.raises(UpstreamRefused, match="check credentials="),
    ):
        ask(client, ["a"])

    assert len(world.engine.seen) == 1


@pytest.mark.parametrize("given", [None, "a-token", Bearer("a-token")])
def test_oci_without_a_signature_is_refused_at_once(given):
    with pytest.raises(ValueError, match=r"signer.*api_key\(\)"):
        Client.direct(model="m", url=f"https://h.example/{OCID}", credentials=given)


def test_ai_core_without_a_token_is_refused_at_once():
    with pytest.raises(ValueError, match="service key"):
        Client.direct(model="m", url="https://h.example/v2/inference/deployments/d1")


def test_what_is_not_understood_is_named_by_its_type_alone():
    with pytest.raises(TypeError, match=r"type dict are not understood.*bearer token") as caught:
        accepted({"user": SECRET})

    assert SECRET not in str(caught.value)
    with pytest.raises(ValueError, match="empty"):
        accepted(" ")


def test_a_token_needs_neither_the_sdk_nor_cryptography():
    code = (
        "import sys; from langchain_embedway import EmbedwayEmbeddings;"
        "EmbedwayEmbeddings.direct(model='m', url='https://h.example', credentials='t');"
        "names = ('oci', 'ads', 'cryptography', 'httpx', 'llama_index', 'embedway_gateway');"
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_without_cryptography_the_cure_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "embedway_upstream.credentials.sdk", None)
    with pytest.raises(ImportError, match=r"embedway\[oci\]"):
        accepted(object())
