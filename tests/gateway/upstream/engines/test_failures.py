"""Where the engines differ in how they refuse and fail, a row for each difference."""

from __future__ import annotations

import json
from typing import Any

import pytest

from embedway_upstream import InputTooLong, InvalidRequest, RateLimited
from embedway_upstream.engines.registry import ENGINES, Options
from embedway_upstream.error import (
    BatchTooLarge,
    UpstreamDefect,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimeout,
)


def engine(name: str, **options: Any) -> Any:
    return ENGINES[name](Options(**options))


def mediapipe(text: str) -> dict[str, str]:
    return {"error": f"Mediapipe execution failed. MP status - INVALID_ARGUMENT: failed: {text}"}


def invalid(text: str, status: int = 422, kind: str = "Validation") -> dict[str, object]:
    return {"message": text, "code": status, "type": kind}


def nested(text: str, status: int, kind: str = "BadRequestError") -> dict[str, object]:
    return {"error": {"message": text, "type": kind, "param": None, "code": status}}


def detail(kind: str) -> dict[str, object]:
    return {"detail": [{"type": kind, "loc": ["body"], "msg": "x", "input": ["a secret"]}]}


def oci(text: str) -> dict[str, str]:
    return {"code": "InternalServerError", "message": text}


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        ("openai", 404, nested("The model `x` does not exist or you do not", 404)),
        ("ovms", 404, {"error": "Mediapipe graph definition with requested name is not found"}),
        ("ovms", 500, {"error": "Model not found"}),
        ("infinity", 400, nested("Invalid model: Engine for model name `x` not found. A", 400)),
        ("vllm", 404, nested("The model `x` does not exist.", 404, "NotFoundError")),
        ("vllm", 404, {"object": "error", "message": "The model `x` does not exist."}),
    ],
)
def test_an_unknown_model_is_for_the_configuration_to_cure(
    name: str, status: int, body: object
) -> None:
    error = engine(name).error(status, {}, json.dumps(body).encode())

    assert type(error) is UpstreamRefused
    assert "set `model:` of the upstream" in error.message


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        ("tei", 413, invalid("Input validation error: `inputs` cannot be empty", 413)),
        ("tei", 400, invalid("`inputs` cannot be empty", 400, "Empty")),
        ("ovms", 400, mediapipe("input array should not be empty")),
        ("infinity", 422, detail("too_short")),
        ("vllm", 400, nested("You must pass at least one prompt", 400)),
        ("vllm", 400, nested("The decoder prompt cannot be empty", 400)),
        ("onnx", 500, oci("JSON is invalid. Error: [] is valid under each of {}")),
    ],
)
def test_empty(name: str, status: int, body: object) -> None:
    error = engine(name).error(status, {}, json.dumps(body).encode())

    assert type(error) is InvalidRequest
    assert "empty" in error.message


@pytest.mark.parametrize(
    ("name", "status", "body", "limit"),
    [
        ("tei", 422, invalid("batch size 33 > maximum allowed batch size 32"), 32),
        ("tei", 413, invalid("batch size 33 > maximum allowed batch size 32", 413), 32),
        ("infinity", 422, detail("too_long"), None),
        ("ovms", 400, {"error": "Number of documents exceeds max_allowed_chunks"}, None),
        ("openai", 400, nested("Requested 453357 tokens", 400, "max_tokens_per_request"), None),
        *((name, 413, {}, None) for name in sorted(ENGINES)),
    ],
)
def test_too_much_at_once_can_be_split(
    name: str, status: int, body: object, limit: int | None
) -> None:
    error = engine(name).error(status, {}, json.dumps(body).encode())

    assert isinstance(error, BatchTooLarge)
    assert (error.limit, error.retryable) == (limit, False)


def test_a_payload_limit_in_plain_text_can_be_split() -> None:
    text = b"Failed to buffer the request body: length limit exceeded"

    assert type(engine("tei").error(413, {}, text)) is BatchTooLarge


LONG = "This model's maximum context length is 512 tokens. However, your prompt contains"


@pytest.mark.parametrize(
    ("name", "status", "body", "limit"),
    [
        ("openai", 400, nested("This model's maximum context length is 8192 tokens", 400), 8192),
        ("tei", 422, invalid("`inputs` must have less than 512 tokens. Given: 600"), 512),
        ("tei", 413, invalid("`inputs` must have less than 512 tokens. Given: 600", 413), 512),
        ("tei", 422, invalid("`inputs` must have less than 128000 characters. Given: 1"), None),
        ("ovms", 400, mediapipe("Input length 600 longer than allowed 512"), 512),
        ("infinity", 422, detail("string_too_long"), None),
        ("vllm", 400, nested(LONG, 400), 512),
        ("vllm", 400, {"object": "error", "message": LONG, "type": "x", "code": 400}, 512),
        ("onnx", 500, oci("[ONNXRuntimeError] : 1 : FAIL : while running Add node."), None),
    ],
)
def test_a_text_too_long_cannot_be_split(
    name: str, status: int, body: object, limit: int | None
) -> None:
    error = engine(name).error(status, {}, json.dumps(body).encode())

    assert type(error) is InputTooLong
    assert error.limit == limit


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        ("tei", 415, b"Expected request with `Content-Type: application/json`"),
        ("tei", 400, b"Failed to parse the request body as JSON: EOF while parsing"),
        ("tei", 422, b"Failed to deserialize the JSON body into the target type: x"),
        ("ovms", 412, b'{"error":"The file is not valid json - Cannot parse JSON body"}'),
        ("infinity", 422, json.dumps(detail("model_attributes_type")).encode()),
        ("infinity", 422, json.dumps(detail("json_invalid")).encode()),
        ("vllm", 400, json.dumps(nested("Unsupported Media Type: Only", 400)).encode()),
        ("onnx", 500, json.dumps(oci("JSON is invalid. Error: 'model' is a")).encode()),
    ],
)
def test_what_the_gateway_said_wrongly_is_not_the_callers_mistake(
    name: str, status: int, body: bytes
) -> None:
    error = engine(name).error(status, {}, body)

    assert type(error) is UpstreamRefused
    assert "engine:" in error.message


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        ("openai", 429, {}),
        ("tei", 429, invalid("Model is overloaded", 429, "Overloaded")),
        ("infinity", 429, nested("model m is currently overloaded", 429)),
        ("vllm", 503, nested("The engine is currently busy and cannot accept", 503)),
        ("onnx", 429, {"code": "TooManyRequests", "message": "LB bandwidth limit exceeded."}),
    ],
)
def test_overload_asks_for_patience(name: str, status: int, body: object) -> None:
    error = engine(name).error(status, {"retry-after": "3"}, json.dumps(body).encode())

    assert type(error) is RateLimited
    assert error.retry_after == 3


@pytest.mark.parametrize(
    ("name", "status", "text", "kind"),
    [
        ("ovms", 500, "Unauthorized request due to invalid or missing api-key", UpstreamRefused),
        ("ovms", 500, "Mediapipe is not loaded yet", UpstreamFailed),
        ("onnx", 500, "TextEncodeInput must be Union", InvalidRequest),
        ("onnx", 500, "Got an exception that nobody knows", UpstreamDefect),
    ],
)
def test_a_500_is_told_apart_by_its_text(
    name: str, status: int, text: str, kind: type[Exception]
) -> None:
    body = {"error": text} if name == "ovms" else oci(text)

    assert type(engine(name).error(status, {}, json.dumps(body).encode())) is kind


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        ("tei", 401, b""),
        ("ovms", 500, b'{"error":"Unauthorized request due to invalid or missing api-key"}'),
        ("infinity", 401, b'{"detail":"Unauthorized"}'),
        ("vllm", 401, b'{"error":"Unauthorized"}'),
        ("onnx", 401, b'{"code":"NotAuthenticated","message":"x"}'),
        ("openai", 401, b'{"error":{"code":"invalid_api_key"}}'),
    ],
)
def test_a_refused_key_is_the_gateways(name: str, status: int, body: bytes) -> None:
    error = engine(name).error(status, {}, body)

    assert type(error) is UpstreamRefused
    assert "credentials" in error.message


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_a_body_of_something_in_between_is_read_by_its_status(name: str) -> None:
    page = b"<html><body>no healthy upstream</body></html>"

    assert isinstance(engine(name).error(503, {}, page), UpstreamFailed)
    assert type(engine(name).error(504, {}, page)) is UpstreamTimeout
    assert isinstance(engine(name).error(404, {}, page), UpstreamRefused)
