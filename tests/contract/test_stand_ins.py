"""
Each stand-in refuses what its engine refuses, a row for each difference in what engines take.

What is sent here the gateway never sends; the other files of the matrix show that it need not.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from doubles.engine_columns import COLUMNS, RERANKERS, as_reranker, row
from doubles.engine_server import Answer, Asked, EngineServer, vectors_of
from embedway_upstream.engines.registry import ENGINES, Options

JSON = {"content-type": "application/json"}


def path_of(column: str) -> str:
    path: str = ENGINES[COLUMNS[column].engine](Options()).path
    return path


def post(
    column: str,
    server: EngineServer | None = None,
    *,
    headers: dict[str, str] = JSON,
    raw: bytes | None = None,
    drop: str = "",
    **fields: Any,
) -> Answer:
    """What the engine says to a body with these fields beside a good one's."""
    server = COLUMNS[column].server() if server is None else server
    body: dict[str, Any] = {"model": server.model, "input": ["a"], **fields}
    body.pop(drop, None)
    written = json.dumps(body).encode() if raw is None else raw
    return server.answer(Asked("POST", path_of(column), headers, written))


LONG = "word " * 600
OPENAIS = {
    "message": "Incorrect API key provided: sk-1",
    "type": "invalid_request_error",
    "param": None,
}
TAKEN = {
    "a good body": ({}, {"*": 200}),
    "model missing": (
        {"drop": "model"},
        {"tei": 200, "ovms": 412, "infinity-multi": 400, "infinity": 200, "vllm": 200}
        | {"score": 500, "openai": 400},
    ),
    "unknown model": (
        {"model": "nope"},
        {"*": 200, "ovms": 404, "infinity-multi": 400, "vllm": 404, "openai": 404},
    ),
    "model is a number": ({"model": 7}, {"tei": 422, "ovms": 412, "score": 200, "*": 0}),
    "dimensions null": ({"dimensions": None}, {"*": 200, "infinity": 422, "openai": 400}),
    "dimensions too big": (
        {"dimensions": 99},
        {"tei": 422, "tei-1.8": 413, "tei-1.5": 200, "ovms": 200, "infinity": 400}
        | {"vllm": 400, "score": 200, "openai": 400},
    ),
    "encoding_format null": (
        {"encoding_format": None},
        {"tei": 422, "ovms": 400, "infinity": 422, "vllm": 400, "score": 500, "openai": 400},
    ),
    "user null": ({"user": None}, {"*": 200, "score": 500, "openai": 400}),
    "token ids": ({"input": [101, 7592]}, {"*": 200, "infinity": 422, "score": 500}),
    "empty string": ({"input": [""]}, {"*": 200, "tei": 400, "tei-1.5": 413, "openai": 400}),
    "empty list": (
        {"input": []},
        {"tei": 400, "tei-1.5": 413, "ovms": 400, "infinity": 422, "vllm": 400, "score": 500}
        | {"openai": 400},
    ),
    "33 texts": ({"input": ["a"] * 33}, {"*": 200, "tei": 422, "tei-1.8": 413, "tei-1.5": 413}),
    "2,049 texts": (
        {"input": ["a"] * 2049},
        {"*": 200, "tei": 422, "tei-1.8": 413, "tei-1.5": 413, "infinity": 422, "openai": 400},
    ),
    "over two megabytes": ({"input": "a" * 2_000_000}, {"*": 200, "tei": 413, "infinity": 422}),
    "too long": (
        {"input": LONG},
        {"tei-1.9": 200, "tei": 413, "ovms": 400, "infinity": 200, "vllm": 400}
        | {"score": 500, "openai": 200},
    ),
    "too many characters": (
        {"input": "a" * 130_000},
        {"*": 200, "tei-1.8": 413, "tei-1.5": 413, "infinity": 422},
    ),
    "unknown fields": ({"prompt_name": "query"}, {"*": 200, "openai": 400}),
    "normalize": ({"normalize": True}, {"*": 200, "vllm": 400, "openai": 400}),
    "no content type": (
        {"headers": {}},
        {"tei": 415, "ovms": 404, "infinity": 422, "vllm": 400, "openai": 400, "score": 200},
    ),
    "bad JSON": (
        {"raw": b'{"input":'},
        {"tei": 400, "ovms": 412, "infinity": 422, "vllm": 400, "score": 500, "openai": 400},
    ),
}
CELLS = [
    pytest.param(column, asked, expected[key], id=f"{name}, {column}")
    for name, (asked, expected) in TAKEN.items()
    for column in COLUMNS
    for key in [next(k for k in (column, column.partition("-")[0], "*") if k in expected)]
    if expected[key]
]


@pytest.mark.parametrize(("column", "asked", "expected"), CELLS)
def test_what_engines_take(column: str, asked: dict[str, Any], expected: int) -> None:
    assert expected == post(column, **asked).status


@row(
    {
        "tei": (401, b""),
        "ovms": (500, {"error": "Unauthorized request due to invalid or missing api-key"}),
        "infinity": (401, {"detail": "Unauthorized"}),
        "vllm": (401, {"error": "Unauthorized"}),
        "openai": (401, {"error": {**OPENAIS, "code": "invalid_api_key"}}),
    },
    [name for name in COLUMNS if not name.startswith("score")],
)
def test_auth_failure(column: str, expected: tuple[int, Any]) -> None:
    answer = post(column, COLUMNS[column].server(key="k"))

    assert expected == (answer.status, answer.body)


@row(
    {
        "tei": {"message", "code", "type"},
        "ovms": {"error"},
        "infinity": {"error"},
        "vllm": {"error"},
        "vllm-0.10": {"object", "message", "type", "param", "code"},
        "openai": {"error"},
        "score": {"code", "message"},
    }
)
def test_error_body(column: str, expected: set[str]) -> None:
    options = {"tei": {"permits": 0}, "infinity": {"room": 0}, "vllm": {"busy": True}}
    options |= {"ovms": {"loading": True}, "score": {"told": "x"}, "openai": {"limited": True}}
    answer = post(column, COLUMNS[column].server(**options[column.partition("-")[0]]))

    assert expected == set(answer.body)


TEIS = [name for name in COLUMNS if name.startswith("tei")]


@row({"tei-1.9": (1, 429, 200), "tei": (0, 200, 429)}, TEIS)
def test_overload_of_a_batch_and_of_one_text(column: str, expected: tuple[int, ...]) -> None:
    """Up to 1.8 TEI lets a batch wait; from 1.9 it refuses the whole of it."""
    permits, batch, alone = expected
    server = COLUMNS[column].server(permits=permits)

    assert batch == post(column, server, input=["a", "b"]).status
    assert alone == post(column, server, input=["a"]).status


@row(
    {
        "tei": "cut and normalised",
        "tei-1.5": "ignored",
        "ovms": "ignored",
        "infinity": "cut",
        "vllm": "refused",
        "score-pooled": "ignored",
        "openai": "cut and normalised",
    },
    [name for name in COLUMNS if name not in {"score-cls", "score-mean"}],
)
def test_dimensions(column: str, expected: str) -> None:
    answer = post(column, dimensions=4)
    whole = vectors_of(["a"], model="model")[0]
    short = whole[:4]
    forms = {"ignored": whole, "cut": short, "cut and normalised": short / np.linalg.norm(short)}

    if expected == "refused":
        assert 400 == answer.status
    else:
        vector = np.asarray(answer.body["data"][0]["embedding"], np.float32)
        np.testing.assert_allclose(vector, forms[expected], rtol=1e-6)


@row({"tei": 424, "ovms": 200, "infinity": 400, "vllm": 404}, RERANKERS)
def test_a_reranker_is_asked_to_embed(column: str, expected: int) -> None:
    assert expected == post(column, as_reranker(column)).status
