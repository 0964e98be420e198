"""What a client may be told, where its key may go, and what it shows of itself."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from embedway_client import Client
from embedway_client.address import is_loopback, root
from embedway_upstream.testing import fake_vectors

KEY = "sk-very-secret"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1"),
        ("http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080/v1"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/v1"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/v1"),
        ("https://host/openai", "https://host/openai"),
        ("http://[::1]:80/v3", "http://[::1]:80/v3"),
    ],
)
def test_the_address_is_openais_base_url_and_a_bare_host_means_v1(given, url):
    assert root(given) == url


@pytest.mark.parametrize(
    "base_url",
    [
        *("127.0.0.1:8080", "ftp://host/v1", "http://", "localhost/v1", "http://host:99999/v1"),
        *("https://user:pass@host/v1", "https://host/v1?key=1", "https://host/v1#x", "http://[::1"),
    ],
)
def test_what_is_no_address_is_refused_at_once(base_url):
    with pytest.raises(ValueError, match="base_url") as caught:
        Client("m", base_url=base_url)

    assert "pass" not in str(caught.value).replace("password", "")


@pytest.mark.parametrize(
    "options",
    [
        {"dimensions": 0},
        {"batch_size": 0},
        {"batch_size": 2049},
        {"timeout": 0},
        {"timeout": float("inf")},
        {"timeout": float("nan")},
        {"max_retries": -1},
        {"fallback": "remote"},
        {"headers": {"x": "a\r\nb: c"}},
        {"headers": {"x y": "a"}},
        {"headers": {"": "a"}},
        {"api_key": "käse"},
        {"api_key": "two\nlines"},
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(options):
    with pytest.raises(ValueError) as caught:
        Client("m", **{"base_url": "http://127.0.0.1/v1", **options})

    assert "käse" not in str(caught.value)


def test_an_empty_model_is_refused():
    with pytest.raises(ValueError, match="name the model"):
        Client("")


def test_address_and_key_come_from_the_environment(monkeypatch, server):
    monkeypatch.setenv("EMBEDWAY_BASE_URL", server.url)
    monkeypatch.setenv("EMBEDWAY_API_KEY", KEY)
    with Client("m") as client:
        client.embed(["a"])

    assert server.asked[0][1]["authorization"] == f"Bearer {KEY}"


def test_what_is_given_precedes_the_environment(monkeypatch, server):
    monkeypatch.setenv("EMBEDWAY_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("EMBEDWAY_API_KEY", "other")
    with Client("m", base_url=server.url, api_key=KEY) as client:
        client.embed(["a"])

    assert server.asked[0][1]["authorization"] == f"Bearer {KEY}"


def test_an_empty_environment_counts_as_none(monkeypatch):
    monkeypatch.setenv("EMBEDWAY_BASE_URL", "")
    monkeypatch.setenv("EMBEDWAY_API_KEY", " ")

    assert "http://127.0.0.1:8080/v1" in repr(Client("m"))
    assert Client("m")._settings.api_key is None


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic x"}, {"X-API-Key": "x"}])
@pytest.mark.parametrize(
    "host", ["gateway:8080", "10.0.0.1", "localhost.evil.example", "[fe80::1]"]
)
def test_a_key_is_not_sent_in_the_clear_beyond_this_machine(host, headers):
    options = {"headers": headers} if headers else {"api_key": KEY}
    with pytest.raises(ValueError, match="use https://, or pass insecure=True") as caught:
        Client("m", base_url=f"http://{host}/v1", **options)

    assert KEY not in str(caught.value)
    Client("m", base_url=f"http://{host}/v1", insecure=True, **options)
    Client("m", base_url=f"https://{host}/v1", **options)
    Client("m", base_url=f"http://{host}/v1")


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "127.8.8.8", "localhost", "[::1]:9", "LOCALHOST"]
)
def test_loopback_may_be_plain(host):
    assert is_loopback(f"http://{host}/v1")
    Client("m", base_url=f"http://{host}/v1", api_key=KEY)


def test_nothing_that_is_shown_holds_the_key():
    client = Client("m", base_url="https://host/v1", api_key=KEY, headers={"x-secret": KEY})

    for shown in (client, client._settings, client._inner.encoder._remote._endpoint):
        assert KEY not in repr(shown)
        assert KEY not in str(shown)


@pytest.mark.parametrize(
    "twin", [lambda c: pickle.loads(pickle.dumps(c)), copy.copy, copy.deepcopy]
)
def test_a_copy_works_and_shares_no_connection(server, ask, twin):
    server.headers["x-embedway-vector-space"] = "vs1-a"
    with Client("m", base_url=server.url, api_key=KEY, dimensions=8) as client:
        ask(client, ["a"])
        with twin(client) as other:
            result = ask(other, ["b"])

    np.testing.assert_array_equal(result.vectors, fake_vectors(["b"], 8))
    assert server.asked[1][1]["authorization"] == f"Bearer {KEY}"
    assert len(server.connections) == 2
    assert other._inner.space.known.fingerprint == "vs1-a"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"base_url": "local", "precision": "int4"}, "are known"),
        ({"base_url": "http://127.0.0.1:1", "precision": "int8"}, "in this process"),
    ],
)
def test_a_precision_that_nobody_would_compute_in_is_refused(more, told):
    with pytest.raises(ValueError, match=told):
        Client("m", **more)


def test_the_precision_is_that_of_the_model_in_this_process(model_in_store):
    with (
        Client(model_in_store, base_url="local") as exact,
        Client(model_in_store, base_url="local", precision="int8") as rough,
    ):
        one, other = exact.encode(["a text"]), rough.encode(["a text"])

    assert one.vector_space != other.vector_space
    assert 0.99 < float(one.vectors[0] @ other.vectors[0]) < 0.99999


def test_a_fallback_may_have_a_precision():
    with Client("m", base_url="http://127.0.0.1:1", precision="int8", fallback="local") as client:
        assert client.vector_space is None
