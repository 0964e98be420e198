"""
Where the engines differ in what they take and give, a row for each difference.

The bodies of each version are in tests/contract, and so is the same through the gateway
(test_matrix_*.py), over stand-ins; here the dialects stand beside one another.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from embedway_upstream import BadReply, EmbeddingRequest, Usage
from embedway_upstream.engines.limit import Limits
from embedway_upstream.engines.registry import ENGINES, Options
from embedway_upstream.rerank import RerankRequest

HOSTED = ["tei", "ovms", "infinity", "vllm", "onnx"]
ALL = ["openai", *HOSTED]
REQUEST = EmbeddingRequest("m", ("one", "two"), input_type="query", dimensions=2)


def engine(name: str, **options: Any) -> Any:
    return ENGINES[name](Options(**options))


def sent(name: str, request: EmbeddingRequest = REQUEST, **options: Any) -> dict[str, Any]:
    return json.loads(engine(name, **options).encode(request))


def reply(*rows: object, **extra: object) -> bytes:
    data = [
        {"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)
    ]
    return json.dumps({"object": "list", "data": data, **extra}).encode()


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("openai", "/v1/embeddings"),
        ("tei", "/v1/embeddings"),
        ("ovms", "/v3/embeddings"),
        ("infinity", "/embeddings"),
        ("vllm", "/v1/embeddings"),
        ("onnx", "/predict"),
    ],
)
def test_path(name: str, path: str) -> None:
    assert engine(name).path == path


@pytest.mark.parametrize("prefix", ["/v1", "v1", "/v1/"])
def test_path_below_a_prefix(prefix: str) -> None:
    infinity = engine("infinity", prefix=prefix)

    assert (infinity.path, infinity.rerank_path) == ("/v1/embeddings", "/v1/rerank")
    assert infinity.ready == "/health"
    assert [probe.path for probe in infinity.probes] == ["/v1/models"]
    assert engine("vllm", prefix=prefix).path == "/v1/embeddings"
    assert engine("vllm", prefix=prefix).rerank_path == "/v1/rerank"


@pytest.mark.parametrize("name", ALL)
def test_model_is_always_sent_and_under_the_servers_name(name: str) -> None:
    assert sent(name)["model"] == "m"
    assert sent(name, model="odsc-llm")["model"] == "odsc-llm"


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("theirs", [{}, {"model": "/opt/ds/model"}, {"model": None}])
def test_model_in_the_response_is_the_one_asked_for(name: str, theirs: dict[str, Any]) -> None:
    assert engine(name).decode(reply([1.0], [2.0], **theirs), REQUEST).model == "m"


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("openai", Usage(40, 40)),
        ("tei", Usage(40, 40)),
        ("ovms", Usage(40, 40)),
        ("infinity", Usage(2, 2, estimated=True)),
        ("vllm", Usage(40, 40)),
        ("onnx", Usage(40, 40)),
    ],
)
def test_usage_counts_tokens_and_never_characters(name: str, usage: Usage) -> None:
    told = {"prompt_tokens": 40, "total_tokens": 40}

    assert engine(name).decode(reply([1.0], [2.0], usage=told), REQUEST).usage == usage


@pytest.mark.parametrize("name", HOSTED)
@pytest.mark.parametrize(
    "told", [{}, {"usage": None}, {"usage": {"prompt_tokens": None, "total_tokens": -3}}]
)
def test_usage_that_is_not_told_is_estimated(name: str, told: dict[str, Any]) -> None:
    request = EmbeddingRequest("m", ("nine char", "é", ""))
    response = engine(name).decode(reply([1.0], [2.0], [3.0], **told), request)

    assert response.usage == Usage(3 + 1 + 0, 4, estimated=True)
    assert (response.usage + Usage(1, 1)).estimated


def test_a_count_that_cannot_be_is_none() -> None:
    body = reply([1.0], [2.0], usage={"prompt_tokens": -5, "total_tokens": -3})

    assert engine("openai").decode(body, REQUEST).usage == Usage(0, 0)


@pytest.mark.parametrize("name", ALL)
def test_a_vector_for_every_token_is_refused(name: str) -> None:
    matrix = [[1.0, 2.0], [3.0, 4.0]]

    with pytest.raises(BadReply, match="every token"):
        engine(name).decode(reply(matrix, matrix), REQUEST)


@pytest.mark.parametrize("name", ALL)
def test_length_is_left_as_it_came(name: str) -> None:
    response = engine(name).decode(reply([3.0, 4.0], [0.6, 0.8]), REQUEST)

    np.testing.assert_allclose(np.linalg.norm(response.vectors, axis=1), [5, 1], rtol=1e-6)


EXTRA = {
    "tei": {"encoding_format"},
    "ovms": {"encoding_format"},
    "infinity": {"encoding_format"},
    "vllm": {"encoding_format", "embed_dtype", "endianness"},
    "onnx": set[str](),
}


@pytest.mark.parametrize("name", HOSTED)
def test_nothing_is_sent_but_what_the_engine_needs(name: str) -> None:
    """No dimensions, prompts or user; nothing that is null; the texts themselves, as strings."""
    body = sent(name)

    assert set(body) == {"model", "input"} | EXTRA[name]
    assert body["input"] == ["one", "two"]
    assert None not in body.values()


@pytest.mark.parametrize("name", [name for name in ALL if name != "onnx"])
def test_base64_is_asked_for(name: str) -> None:
    assert sent(name)["encoding_format"] == "base64"


def test_vllm_is_told_the_number_format_that_is_read() -> None:
    assert (sent("vllm")["embed_dtype"], sent("vllm")["endianness"]) == ("float32", "little")


@pytest.mark.parametrize("name", ALL)
def test_floats_and_base64_are_both_understood(name: str) -> None:
    rows = np.array([[0.1, -2.5], [1e-3, 7.0]], dtype="<f4")
    texts = [base64.b64encode(row.tobytes()).decode() for row in rows]

    for body in (reply(*texts), reply(*rows.tolist())):
        np.testing.assert_array_equal(engine(name).decode(body, REQUEST).vectors, rows)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("text", ["0.1", "0.10000000149011612", "0.1000000014901161193847656250"])
def test_every_way_to_write_a_float32_is_the_same_number(name: str, text: str) -> None:
    body = reply([0.5], [2.0]).replace(b"0.5", text.encode())

    assert engine(name).decode(body, REQUEST).vectors[0, 0] == np.float32(0.1)


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("openai", Limits(max_inputs=2048)),
        ("tei", Limits(max_inputs=32, max_bytes=2_000_000)),
        ("ovms", Limits(max_bytes=1_000_000_000)),
        ("infinity", Limits(max_inputs=2048, max_characters=122_880)),
        ("vllm", Limits()),
        ("onnx", Limits(max_inputs=32)),
    ],
)
def test_limits(name: str, limits: Limits) -> None:
    assert engine(name).limits == limits


def test_limits_of_pooling_here() -> None:
    assert engine("onnx", pooling="mean").limits == Limits(max_inputs=1)
    assert engine("onnx", pooling="cls").limits == Limits(max_inputs=4)


@pytest.mark.parametrize(
    ("name", "ready", "probes"),
    [
        ("openai", None, ["/v1/models"]),
        ("tei", "/health", ["/info"]),
        ("ovms", "/v2/models/org/m/ready", ["/v3/models", "/v1/config", "/v2"]),
        ("infinity", "/health", ["/models"]),
        ("vllm", "/health", ["/v1/models", "/version"]),
        ("onnx", None, []),
    ],
)
def test_readiness_and_what_is_told(name: str, ready: str | None, probes: list[str]) -> None:
    one = engine(name, model="org/m")

    assert one.ready == ready
    assert [probe.path for probe in one.probes] == probes


def test_ovms_without_a_name_has_no_readiness() -> None:
    assert engine("ovms").ready is None


@pytest.mark.parametrize("name", ALL)
def test_nan_as_null_is_refused(name: str) -> None:
    with pytest.raises(BadReply, match="not finite"):
        engine(name).decode(reply([None, None], [1.0, 2.0]), REQUEST)


@pytest.mark.parametrize(
    ("name", "path", "field"),
    [
        ("tei", "/rerank", "texts"),
        ("ovms", "/v3/rerank", "documents"),
        ("infinity", "/rerank", "documents"),
        ("vllm", "/rerank", "documents"),
    ],
)
def test_rerank(name: str, path: str, field: str) -> None:
    one = engine(name, model="theirs")
    body = json.loads(one.encode_rerank(RerankRequest("m", "q", ("a", "b"), top_n=1)))

    assert one.rerank_path == path
    assert body.pop("model", "theirs") == "theirs"
    assert body == {"query": "q", field: ["a", "b"]}


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("tei", Limits(max_inputs=32, max_bytes=2_000_000)),
        ("ovms", Limits(max_inputs=10_000, max_bytes=1_000_000_000)),
        ("infinity", Limits(max_inputs=2048, max_characters=122_880)),
        ("vllm", Limits(max_inputs=1024)),
    ],
)
def test_rerank_limits(name: str, limits: Limits) -> None:
    assert engine(name).rerank_limits == limits
