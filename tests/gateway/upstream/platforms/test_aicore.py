"""AI Core: addresses, and whose error it is."""

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
from embedway_upstream.platforms.aicore import AICore
from embedway_upstream.platforms.platform import Platform

BASE = "https://api.ai.example/v2/inference/deployments/d1"


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
