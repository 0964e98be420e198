"""AI Core: addresses, whose error it is, and the logins that its users have."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedway_upstream import (
    BadReply,
    EmbeddingError,
    RateLimited,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimeout,
)
from embedway_upstream.platforms.aicore import (
    AICore,
    login_from_service_key,
    login_from_variables,
)
from embedway_upstream.platforms.platform import Platform

BASE = "https://api.ai.example/v2/inference/deployments/d1"
KEY = {
    "clientid": "sb-client",
    "clientsecret": "planted-secret",
    "url": "https://tenant.authentication.example",
    "serviceurls": {"AI_API_URL": "https://api.ai.example"},
}
X509 = {
    "clientid": "sb-client",
    "certificate": "-----BEGIN CERTIFICATE-----planted-secret",
    "key": "-----BEGIN PRIVATE KEY-----planted-secret",
    "certurl": "https://tenant.authentication.cert.example",
    "url": "https://tenant.authentication.example",
    "serviceurls": {"AI_API_URL": "https://api.ai.example/v2"},
}


@pytest.mark.parametrize(
    ("path", "suffix"),
    [
        ("/embeddings", "/v1/embeddings"),
        ("/rerank", "/v1/rerank"),
        ("/v1/embeddings", "/v1/embeddings"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/v2/rerank", "/v2/rerank"),
        ("/v3/embeddings", "/v3/embeddings"),
        ("v1/embeddings", "/v1/embeddings"),
        ("/v1beta", "/v1/v1beta"),
    ],
)
def test_the_engines_path_is_the_suffix(path: str, suffix: str) -> None:
    for url in (BASE, BASE + "/", BASE + "/v1"):
        if url.endswith("/v1") and not suffix.startswith("/v1/"):
            continue
        assert BASE + suffix == AICore(url).address(path)
        assert BASE + suffix == AICore(url).address(path, stream=True)


def test_the_resource_group_is_sent() -> None:
    platform: Platform = AICore(BASE, "research")
    assert {"AI-Resource-Group": "research"} == platform.headers("/v1/embeddings")
    assert platform.max_bytes is None
    assert platform.max_seconds is None


def said(code: Any = "01010031", **more: Any) -> bytes:
    error = {"code": code, "message": "planted words", "requestId": "r-1", "details": [], **more}
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind", "says"),
    [
        (400, said(), UpstreamRefused, "resource group"),
        (401, said(), UpstreamRefused, "service key"),
        (401, b"Jwt is expired", UpstreamRefused, "service key"),
        (403, said(), UpstreamRefused, "'research'"),
        (403, b"RBAC: access denied", UpstreamRefused, "resource group"),
        (404, said(), UpstreamRefused, "stopped or deleted"),
        (404, b"", UpstreamRefused, "stopped or deleted"),
        (429, said(), RateLimited, "slow down"),
        (502, b"<html>", UpstreamFailed, "scaled to zero"),
        (503, said(), UpstreamFailed, "scaled to zero"),
        (503, b"no healthy upstream", UpstreamFailed, "scaled to zero"),
        (504, b"upstream request timeout", UpstreamTimeout, "in time"),
        (500, said(), UpstreamFailed, "failed"),
        (401, b'{"detail":"Unauthorized"}', UpstreamRefused, "API key of its own"),
        (401, b'{"error":"Unauthorized"}', UpstreamRefused, "API key of its own"),
        (503, b'{"error":{"code":"X","message":"m"}}', UpstreamFailed, "scaled to zero"),
    ],
)
def test_the_platforms_errors(
    status: int, body: bytes, kind: type[EmbeddingError], says: str
) -> None:
    error = AICore(BASE, "research").error(status, {"retry-after": "7"}, body)

    assert error is not None
    assert isinstance(error, kind)
    assert says in error.message
    assert f"status {status}" in error.detail
    assert "planted" not in error.message + error.detail
    if kind in {RateLimited, UpstreamFailed}:
        assert 7.0 == error.retry_after


def test_the_requests_id_goes_to_the_log() -> None:
    error = AICore(BASE).error(404, {}, said())
    assert error is not None
    assert "status 404, code 01010031, request r-1" == error.detail
    forged = AICore(BASE).error(404, {}, said(code="a\nb"))
    assert forged is not None
    assert "\n" not in forged.detail


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b'{"error":{"message":"Invalid model","type":null,"param":null,"code":400}}'),
        (429, b'{"error":{"message":"overloaded","type":null,"param":null,"code":429}}'),
        (404, b'{"detail":"Not Found"}'),
        (404, b'{"error":{"message":"no model","type":"NotFoundError","param":null,"code":404}}'),
        (422, b'{"detail":[]}'),
        (500, b"Internal Server Error"),
        (413, b"length limit exceeded"),
    ],
)
def test_the_engines_errors_are_left_to_it(status: int, body: bytes) -> None:
    assert AICore(BASE).error(status, {}, body) is None


@given(st.integers(300, 599), st.binary(max_size=60) | st.just(b"[" * 100_000))
def test_any_body_is_read(status: int, body: bytes) -> None:
    error = AICore(BASE).error(status, {}, body)
    assert error is None or not isinstance(error, BadReply)


@pytest.mark.parametrize(
    "variables",
    [
        {"AICORE_SERVICE_KEY": json.dumps(KEY), "AICORE_CLIENT_ID": "another"},
        {
            "AICORE_CLIENT_ID": "sb-client",
            "AICORE_CLIENT_SECRET": "planted-secret",
            "AICORE_AUTH_URL": "https://tenant.authentication.example/oauth/token",
            "AICORE_BASE_URL": "https://api.ai.example/v2",
            "VCAP_SERVICES": "not looked at",
        },
        {"VCAP_SERVICES": json.dumps({"aicore": [{"label": "aicore", "credentials": KEY}]})},
    ],
)
def test_a_login_is_found_where_saps_own_sdk_finds_it(variables: dict[str, str]) -> None:
    login = login_from_variables({**variables, "AICORE_RESOURCE_GROUP": "research"})

    assert login is not None
    assert "https://tenant.authentication.example/oauth/token" == login.token_url
    assert ("sb-client", "planted-secret") == (login.client_id, login.client_secret)
    assert ("https://api.ai.example", "research") == (login.api_url, login.resource_group)
    assert "planted" not in repr(login)


def test_a_certificates_key() -> None:
    login = login_from_service_key(X509)
    assert "https://tenant.authentication.cert.example/oauth/token" == login.token_url
    assert (X509["certificate"], X509["key"]) == (login.cert, login.key)
    assert login.client_secret is None
    assert "https://api.ai.example" == login.api_url
    files = {"AICORE_CERT_FILE_PATH": "c.pem", "AICORE_KEY_FILE_PATH": "k.pem"}
    urls = {"AICORE_CLIENT_ID": "a", "AICORE_CERT_URL": "https://cert.example"}
    found = login_from_variables({**files, **urls})
    assert found is not None
    assert ("c.pem", "k.pem") == (found.cert, found.key)
    assert "https://cert.example/oauth/token" == found.token_url


@pytest.mark.parametrize("variables", [{}, {"VCAP_SERVICES": "{}"}, {"AICORE_BASE_URL": "x"}])
def test_no_login(variables: dict[str, str]) -> None:
    assert login_from_variables(variables) is None


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"AICORE_SERVICE_KEY": "planted-secret"}, "AICORE_SERVICE_KEY is not a JSON object"),
        ({"AICORE_SERVICE_KEY": '["planted"]'}, "AICORE_SERVICE_KEY is not a JSON object"),
        ({"AICORE_SERVICE_KEY": "{}"}, "the client id, the address of the token server, the secr"),
        ({"AICORE_CLIENT_ID": "a"}, "AICORE_. variables lacks? the address"),
        ({"VCAP_SERVICES": "planted"}, "VCAP_SERVICES is not a JSON object"),
    ],
)
def test_half_a_login_says_what_it_lacks(variables: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        login_from_variables(variables)
    assert "planted" not in str(caught.value)
    assert caught.value.__context__ is None
