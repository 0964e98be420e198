"""What `direct` accepts, guesses, shows, and lets be copied."""

from __future__ import annotations

import copy
import pickle

import pytest

from embedway_client import Client
from embedway_client.deployment import guess
from embedway_upstream import Anonymous

OCID = "ocid1.datasciencemodeldeployment.oc1.iad.xxx"
HOST = "https://modeldeployment.us-ashburn-1.oci.customer-oci.com"


@pytest.mark.parametrize(
    ("url", "platform"),
    [
        (f"{HOST}/{OCID}", "oci"),
        (f"{HOST}/{OCID}/", "oci"),
        (f"{HOST}/{OCID}/predict", "oci"),
        (f"{HOST}/{OCID}/predictWithResponseStream", "oci"),
        (f"{HOST}/ocid1.datasciencemodeldeploymentint.oc1.iad.xxx", "oci"),
        ("https://api.ai.example/v2/inference/deployments/d1", "aicore"),
        ("https://api.ai.example/v2/inference/deployments/d1/v1", "aicore"),
        ("https://tei.example", "plain"),
        ("https://tei.example/v1", "plain"),
        (f"https://tei.example/?{OCID}", "plain"),
    ],
)
def test_the_platform_is_seen_from_the_address(url, platform):
    assert guess(url, Anonymous()) == platform


def test_the_platform_is_seen_from_the_signer_behind_a_name_of_ones_own(world):
    client = Client.direct(model="m", url="https://mine.example/x", credentials=world.signer())

    assert client.deployment is not None
    assert client.deployment.platform == "oci"


def test_a_platform_that_was_named_is_not_guessed(world, direct, ask):
    with direct(**world.on_plain(platform="plain", credentials=world.signer())) as client:
        ask(client, ["a"])

    assert world.engine.seen[0].headers["authorization"].startswith("Signature ")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"engine": "local"}, "engine='local'"),
        ({"platform": "aws"}, "platform='aws'"),
        ({"invoke": "x"}, "invoke='x'"),
        ({"engine": "onnx", "pooling": "max"}, "pooling='max'"),
        ({"pooling": "cls"}, "onnx"),
        ({"path": "predict"}, "begins with /"),
        ({"path": "/../../d2/v1/embeddings"}, "lead away from url"),
        ({"path": "/%2e%2E\\.%2fd2"}, "lead away from url"),
        ({"path": "/v1/./embeddings"}, "lead away from url"),
        ({"url": "http://tei.example"}, "insecure=True"),
        ({"url": "local"}, "https://"),
        ({"url": "https://u:p@tei.example"}, "credentials="),
        ({"url": "https://tei.example?x"}, "query"),
        ({"url": "https://[tei"}, "not an address"),
        ({"fallback": "local"}, "vector_space="),
        ({"fallback": "gpu", "vector_space": "v"}, "fallback='gpu'"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"dimensions": 0}, "dimensions=0"),
        ({"model": ""}, "model is empty"),
    ],
)
def test_what_cannot_work_is_refused_at_once(options, says):
    with pytest.raises(ValueError, match=says) as caught:
        Client.direct(**{"model": "m", "url": "https://tei.example", **options})

    assert "u:p" not in str(caught.value)


def test_plain_http_beyond_this_machine_is_the_users_choice():
    assert Client.direct(model="m", url="http://tei.example", insecure=True)


def test_the_environment_of_the_gateway_is_not_used(world, direct, ask, monkeypatch):
    monkeypatch.setenv("EMBEDWAY_API_KEY", "of-the-gateway")
    monkeypatch.setenv("EMBEDWAY_BASE_URL", "http://gateway.example")
    with direct(**world.on_plain()) as client:
        ask(client, ["a"])

    assert "authorization" not in world.engine.seen[0].headers


def test_it_shows_what_it_calls_and_no_secret(world):
    client = Client.direct(**world.on_aicore())

    assert world.aicore_url in repr(client)
    assert "planted" not in repr(client) + repr(client._settings)
    client = Client.direct(**world.on_plain(credentials="planted-token"))
    assert "planted" not in repr(client) + repr(client._settings)


def test_pickling_is_refused_with_signers_and_copies_share_them(world, ask):
    client = Client.direct(**world.on_oci())

    with pytest.raises(TypeError, match="credentials are not pickled"):
        pickle.dumps(client)
    for twin in (copy.copy(client), copy.deepcopy(client)):
        assert ask(twin, ["a"]).vectors.shape == (1, 8)


def test_what_holds_no_signer_is_pickled(world, ask):
    client = pickle.loads(pickle.dumps(Client.direct(**world.on_plain(credentials="t"))))

    assert ask(client, ["a"]).vectors.shape == (1, 8)
    assert world.engine.seen[0].headers["authorization"] == "Bearer t"
