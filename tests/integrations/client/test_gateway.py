"""What the server says of a failure, as the user sees it."""

from __future__ import annotations

import json

import pytest

from embedway_client import AuthenticationFailed
from embedway_client.gateway import Gateway
from embedway_upstream import (
    BadVector,
    InputTooLong,
    InvalidRequest,
    RateLimited,
    UnknownModel,
    UpstreamFailed,
    UpstreamTimeout,
)


def read(status, body=b"", headers=None):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return Gateway(input_type=True).error(status, headers or {}, body)


def openai(message, param=None, code=None):
    return {"error": {"message": message, "type": "t", "param": param, "code": code}}


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, InvalidRequest, False),
        (401, AuthenticationFailed, False),
        (403, AuthenticationFailed, False),
        (404, InvalidRequest, False),
        (405, InvalidRequest, False),
        (408, UpstreamTimeout, True),
        (413, InputTooLong, False),
        (422, InvalidRequest, False),
        (429, RateLimited, True),
        (500, UpstreamFailed, True),
        (502, UpstreamFailed, True),
        (504, UpstreamTimeout, True),
    ],
)
def test_each_status_has_its_error(status, kind, retryable):
    error = read(status)

    assert type(error) is kind
    assert error.retryable is retryable
    assert str(status) in error.message


def test_the_message_and_the_field_are_the_servers():
    error = read(400, openai("dimensions must be one of 384", "dimensions", "bad_value"))

    assert isinstance(error, InvalidRequest)
    assert (error.message, error.param, error.code) == (
        "dimensions must be one of 384",
        "dimensions",
        "bad_value",
    )


def test_texts_without_a_vector_are_those_that_the_server_names():
    told = "the upstream gave a vector of zeros for the texts at index 3, 7; change (upstream 'u')"
    error = read(502, openai(told, "input[3], input[7]", "upstream_error"))

    assert isinstance(error, BadVector)
    assert error.rows == (3, 7)
    assert error.message == (
        "the upstream gave a vector of zeros for the texts at index 3, 7; change those texts or "
        "leave them out"
    )
    assert type(read(502, openai("it failed", "input", "upstream_error"))) is UpstreamFailed


def test_an_unknown_model_is_told_from_an_unknown_address():
    known = "The model 'x' does not exist here. Known models: minilm."
    model = read(404, openai(known, "model", "model_not_found"))
    address = read(404, openai("Not found"))

    assert type(model) is UnknownModel
    assert model.message == known
    assert type(address) is InvalidRequest
    assert "base_url usually ends in /v1" in address.message


def test_vllms_word_for_an_unknown_model_is_understood():
    assert type(read(404, openai("The model `x` does not exist.", "model", 404))) is UnknownModel


def test_a_refused_key_names_where_keys_come_from():
    error = read(401, openai("Unknown API key.", code="invalid_api_key"))

    assert error.message == (
        "the server refused the API key (401): Unknown API key.; check api_key= or EMBEDWAY_API_KEY"
    )


def test_too_long_is_known_by_its_code_too():
    assert type(read(400, openai("too long", code="context_length_exceeded"))) is InputTooLong


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": "Model is overloaded", "error_type": "overloaded"}, "Model is overloaded"),
        ({"object": "error", "message": "out of memory"}, "out of memory"),
        (b"<html>Bad gateway</html>", "the server answered 502"),
        (b"", "the server answered 502"),
        (b"[" * 100_000, "the server answered 502"),
        ({"error": {"message": ["odd"]}}, "the server answered 502"),
        ({"error": None}, "the server answered 502"),
    ],
)
def test_bodies_of_other_servers(body, message):
    assert read(502, body).message == message


def test_a_message_cannot_move_the_cursor_or_fill_the_screen():
    error = read(400, openai("\x1b[31mred\r\n" + "x" * 5000))

    assert error.message.isprintable()
    assert len(error.message) < 1100
    assert error.message.endswith("…")


def test_retry_after_is_kept():
    assert read(429, headers={"retry-after": "3"}).retry_after == 3
    assert read(503, headers={"retry-after": "3"}).retry_after == 3
