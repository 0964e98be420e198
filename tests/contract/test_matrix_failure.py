"""
The matrix, failures: however an engine says no, the client gets OpenAI's error, or the vectors.

Never an engine's own words, never its 401, and nothing repeated that cannot pass.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import numpy as np
import pytest

from doubles.engine_answer import own
from doubles.engine_columns import COLUMNS, row
from doubles.engine_gateway import Town
from doubles.engine_server import Answer, Asked, EngineServer
from embedway_gateway.layers.canary import CANARIES

TEXTS = ["a planted text", "another"]
FORM = {"message", "type", "param", "code"}


def error_of(reply: httpx2.Response, *never: str) -> dict[str, Any]:
    """The error, which has OpenAI's form and none of those words."""
    error: dict[str, Any] = reply.json()["error"]
    assert FORM == set(error)
    assert isinstance(error["code"], str | None)
    for word in ("127.0.0.1", "planted", "/opt/ds", *never):
        assert word not in reply.text + str(reply.headers)
    return error


BUSY = {"tei": {"permits": 0}, "infinity": {"room": 0}, "vllm": {"busy": True}}
FREE = {"tei": {"permits": 512}, "infinity": {"room": 100}, "vllm": {"busy": False}}
BUSY |= {"openai": {"limited": True}}
FREE |= {"openai": {"limited": False}}
CAN_BE_BUSY = [name for name in COLUMNS if not name.startswith(("ovms", "score"))]


@row({"*": 429, "tei-1.8": 200, "tei-1.5": 200}, CAN_BE_BUSY)
async def test_overload(town: Town, column: str, expected: int) -> None:
    """Of two texts: TEI refuses them from 1.9 on, earlier ones let a batch wait, as OVMS does."""
    server = COLUMNS[column].server()
    async with town.gateway(column, server) as caller:
        await caller.begin()
        vars(server).update(BUSY[column.partition("-")[0]])
        reply = await caller.post(input=TEXTS)

    assert expected == reply.status_code
    if expected == 429:
        error = error_of(reply, "overloaded", "busy", "Rate limit reached")
        assert ("rate_limit_error", "rate_limit_exceeded") == (error["type"], error["code"])
        assert "true" == reply.headers["x-should-retry"]
        assert 3 == len(server.seen)


@pytest.mark.parametrize("column", CAN_BE_BUSY)
async def test_overload_that_passes(town: Town, column: str) -> None:
    engine = column.partition("-")[0]
    server = COLUMNS[column].server(**BUSY[engine], later=FREE[engine])
    async with town.gateway(column, server) as caller:
        found = await caller.embed(TEXTS[:1])

    np.testing.assert_array_equal(found, own(column, server, TEXTS[:1]))
    # One refused, and after it those by which its vectors are compared.
    assert 1 + len(CANARIES) + 1 == len(server.seen)


@pytest.mark.parametrize("column", [name for name in COLUMNS if name.startswith("tei")])
async def test_a_server_that_was_started_with_a_smaller_batch(town: Town, column: str) -> None:
    """Its 413 or 422 tells how many it takes; the texts are then sent so."""
    texts = [f"number {index}" for index in range(50)]
    server = COLUMNS[column].server(max_client_batch_size=8)
    async with town.gateway(column, server) as caller:
        np.testing.assert_array_equal(await caller.embed(texts), own(column, server, texts))


@row({"score": [(429, 429, 3), (503, 502, 3), (500, 502, 1)]}, ["score-pooled", "score-cls"])
async def test_overload_of_the_platform(
    town: Town, column: str, expected: list[tuple[int, int, int]]
) -> None:
    """A 500 with words of score.py's that nobody knows is not repeated: it may stay for ever."""
    for fault, status, attempts in expected:
        server = COLUMNS[column].server()
        async with town.gateway(column, server) as caller:
            platform = town.street.houses["up"]
            platform.faults.extend([fault] * 9)
            reply = await caller.post(input=TEXTS)

        assert status == reply.status_code
        assert "secret words" not in reply.text
        assert attempts == len(platform.seen)
        error_of(reply)


@pytest.mark.parametrize("column", COLUMNS)
async def test_auth_failure(town: Town, column: str) -> None:
    """Whatever status an engine has for it, 500 of OVMS too: it is the gateway's own key."""
    server = COLUMNS[column].server(key=None if column.startswith("score") else "right")
    token = None if column.startswith("score") else "wrong"
    async with town.gateway(column, server, token=token) as caller:
        if token is None:
            town.street.houses["up"].keys.clear()
        reply = await caller.post(input=TEXTS)

    assert 502 == reply.status_code
    error = error_of(reply, "right", "wrong", "api-key", "Unauthorized")
    assert "credentials" in error["message"] or "the signature" in error["message"]


@pytest.mark.parametrize("column", [name for name in COLUMNS if not name.startswith("score")])
async def test_auth(town: Town, column: str) -> None:
    async with town.gateway(column, COLUMNS[column].server(key="k"), token="k") as caller:
        np.testing.assert_array_equal(await caller.embed(TEXTS), own(column, caller.server, TEXTS))


@dataclass(kw_only=True)
class Saying(EngineServer):
    """Answers one thing to everything."""

    said: Answer

    def answer(self, asked: Asked) -> Answer:
        return self.said


def flat(text: str, status: int, kind: str) -> dict[str, Any]:
    return {"message": text, "code": status, "type": kind}


def nested(text: str, status: int) -> dict[str, Any]:
    return {"error": {"message": text, "type": "planted", "param": None, "code": status}}


def repeated(kind: str) -> dict[str, Any]:
    return {"detail": [{"type": kind, "loc": ["body"], "msg": "planted", "input": TEXTS * 400}]}


def graph(text: str) -> dict[str, str]:
    return {"error": f"Mediapipe execution failed. MP status - planted: failed: {text}"}


def oci(text: str) -> dict[str, str]:
    return {"code": "InternalServerError", "message": text}


# Our status and code, and what x-should-retry says.
FAILED = (502, "upstream_error", "true")
DEFECT = REFUSED = (502, "upstream_error", "false")
LATE = (504, "upstream_timeout", "true")
TOO_LONG = (400, "context_length_exceeded", "false")
INVALID = (400, "invalid_request", "false")
SAID: list[tuple[str, int, Any, tuple[int, str, str]]] = [
    (
        "tei-1.9",
        424,
        flat("Backend error: Model is not an embedding model", 424, "Backend"),
        REFUSED,
    ),
    ("tei-1.9", 424, flat("Backend error: planted CUDA error", 424, "Backend"), FAILED),
    ("tei-1.9", 503, flat("unhealthy", 503, "Unhealthy"), FAILED),
    ("tei-1.9", 422, flat("tokenizer error planted", 422, "Tokenizer"), INVALID),
    ("tei-1.9", 415, b"Expected request with `Content-Type: application/json`", REFUSED),
    ("tei-1.9", 422, b"Failed to deserialize the JSON body into the target type: planted", REFUSED),
    ("tei-1.9", 404, b"", REFUSED),
    (
        "tei-1.5",
        413,
        flat("`inputs` must have less than 512 tokens. Given: 600", 413, "Validation"),
        TOO_LONG,
    ),
    ("ovms-2026.3", 412, {"error": "The file is not valid json - planted"}, REFUSED),
    ("ovms-2026.3", 500, {"error": "Mediapipe is not loaded yet"}, FAILED),
    ("ovms-2026.3", 500, {"error": "Model not found"}, REFUSED),
    ("ovms-2024.5", 400, graph("Input length 600 longer than allowed 512"), TOO_LONG),
    ("ovms-2024.5", 400, graph("INTERNAL planted RET_CHECK failure"), FAILED),
    ("infinity", 422, repeated("string_type"), REFUSED),
    ("infinity", 422, repeated("string_too_long"), TOO_LONG),
    ("infinity", 500, nested("InternalServerError: planted", 500), FAILED),
    ("infinity", 400, nested("ModelNotDeployedError: planted", 400), REFUSED),
    ("vllm-0.33", 404, {"detail": "Not Found"}, REFUSED),
    ("vllm-0.33", 500, nested("planted", 500), FAILED),
    ("vllm-0.33", 501, nested("planted", 501), REFUSED),
    (
        "vllm-0.10",
        400,
        {"object": "error", **flat("maximum context length is 512 tokens", 400, "x")},
        TOO_LONG,
    ),
    ("score-pooled", 500, oci("KeyError: planted"), DEFECT),
    (
        "score-pooled",
        500,
        oci("[ONNXRuntimeError] : 1 : FAIL : while running Add node. planted"),
        TOO_LONG,
    ),
    ("score-pooled", 500, oci("TextEncodeInput must be Union"), INVALID),
    *((name, 503, b"<html>planted proxy</html>", FAILED) for name in COLUMNS),
    *((name, 504, b"<html>planted proxy</html>", LATE) for name in COLUMNS),
]


@pytest.mark.parametrize(
    ("column", "status", "body", "expected"),
    [pytest.param(*case, id=f"{case[0]} {case[1]} {number}") for number, case in enumerate(SAID)],
)
async def test_error_body(
    town: Town,
    caplog: pytest.LogCaptureFixture,
    column: str,
    status: int,
    body: Any,
    expected: tuple[int, str, str],
) -> None:
    """OpenAI's form, our words, and a log without inputs, whatever the engine repeats of them."""
    caplog.set_level(logging.INFO)
    said = body if isinstance(body, bytes) else json.dumps(body).encode()
    well, server = COLUMNS[column].server(), Saying(said=Answer(status, said))
    async with town.gateway(column, well) as caller:
        await caller.begin()
        house = town.street.houses["up"]
        if house is well:
            town.street.houses["up"] = server
        else:
            house.inner = server
        reply = await caller.post(input=TEXTS)

    error = error_of(reply)
    told = (reply.status_code, error["code"], reply.headers["x-should-retry"])
    assert expected == told
    assert "planted" not in caplog.text
    assert "planted" not in str([facts_of(record) for record in caplog.records])
    if expected[2] == "false":
        assert 1 == len(server.seen), "what cannot pass is not repeated"


def facts_of(record: logging.LogRecord) -> Mapping[str, Any]:
    facts: Mapping[str, Any] = getattr(record, "facts", {})
    return facts


@row({"tei": "kind", "infinity": "cannot do this", "vllm": "kind"}, CAN_BE_BUSY[:-1])
async def test_a_model_of_another_kind(town: Town, column: str, expected: str) -> None:
    """A reranker where an embedder was meant: 424, 400 and 404 are all the configuration's."""
    kinds = {"tei": {"kind": "reranker"}, "infinity": {"capability": "rerank"}}
    kinds["vllm"] = {"task": "score"}
    server = COLUMNS[column].server(**kinds[column.partition("-")[0]])
    async with town.gateway(column, server) as caller:
        reply = await caller.post(input=TEXTS)

    assert 502 == reply.status_code
    assert expected in error_of(reply)["message"]
