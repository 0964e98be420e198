"""What holds of every engine, whatever comes."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedway_upstream import BadReply, EmbeddingError, EmbeddingRequest
from embedway_upstream.check import check, check_rerank
from embedway_upstream.engines.complaint import complaint
from embedway_upstream.engines.registry import ENGINES, Options
from embedway_upstream.rerank import RerankRequest

NAMES = sorted(ENGINES)
RERANKERS = [name for name in NAMES if hasattr(ENGINES[name](Options()), "encode_rerank")]
REQUEST = EmbeddingRequest("m", ("a", "b"))
RERANK = RerankRequest("m", "q", ("a", "b"))

REPLY = ["data", "index", "embedding", "embeddings", "prediction", "results", "relevance_score"]
USAGE = ["usage", "prompt_tokens", "total_tokens"]
ERROR = ["error", "message", "type", "code", "detail", "error_type"]
keys = st.sampled_from([*REPLY, *USAGE, *ERROR, "score"])
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-3, 2**70)
    | st.floats()
    | st.sampled_from(["", "AACAPw==", "AAAA", "Validation", "é"])
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)
json_bytes = values.map(lambda value: json.dumps(value).encode())
# Replies that are nearly right find more than those that are not.
rows = st.fixed_dictionaries({}, optional={"index": leaves, "embedding": values})
nearly = st.fixed_dictionaries({"data": st.lists(rows, max_size=3)}, optional={"usage": values})
nearly_bytes = nearly.map(lambda value: json.dumps(value).encode())
bodies = st.binary(max_size=200) | json_bytes | nearly_bytes
WORST = [
    b'{"data":[{"index":0,"embedding":"\xff"}]}',
    b'{"data":[{"index":0,"embedding":[1e39]},{"index":1,"embedding":[1]}]}',
    b'{"data":[{"index":0,"embedding":[1e999]}]}',
    b'{"data":[{"index":99999999999999999999999999,"embedding":[1.0]}]}',
    b'{"prediction":[[[1e300],[1e300]],[[1.0],[1.0]]]}',
    b'{"data":' + b"[" * 100_000,
    b'{"error":' * 100_000,
]


def engine(name: str, **options: Any) -> Any:
    return ENGINES[name](Options(**options))


def read(name: str, body: bytes, **options: Any) -> None:
    """What Endpoint does with a 200."""
    try:
        check(engine(name, **options).decode(body, REQUEST), REQUEST, None)
    except BadReply:
        pass
    except EmbeddingError:
        # A corrected score.py returns its errors with 200.
        assert name == "onnx"


@pytest.mark.parametrize("name", NAMES)
@given(body=bodies)
@settings(max_examples=150, deadline=None)
def test_any_reply_is_vectors_or_a_bad_reply(name: str, body: bytes) -> None:
    read(name, body)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@given(body=bodies)
@settings(max_examples=150, deadline=None)
def test_so_it_is_when_pooled_here(pooling: str, body: bytes) -> None:
    read("onnx", body, pooling=pooling)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("body", WORST, ids=range(len(WORST)))
def test_the_worst_replies_are_bad_replies(name: str, body: bytes) -> None:
    with pytest.raises(BadReply):
        check(engine(name, pooling="cls").decode(body, REQUEST), REQUEST, None)


@pytest.mark.parametrize("name", RERANKERS)
@given(body=bodies)
@settings(max_examples=100, deadline=None)
def test_any_reply_is_a_ranking_or_a_bad_reply(name: str, body: bytes) -> None:
    with suppress(BadReply):
        check_rerank(engine(name).decode_rerank(body, RERANK), RERANK)


@pytest.mark.parametrize("name", NAMES)
@given(status=st.integers(201, 599), body=bodies)
@settings(max_examples=150, deadline=None)
def test_any_error_is_of_the_tree(name: str, status: int, body: bytes) -> None:
    error = engine(name).error(status, {}, body)

    assert isinstance(error, EmbeddingError)
    assert error.message
    assert str(status) in error.detail


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("body", WORST, ids=range(len(WORST)))
def test_the_worst_errors_are_of_the_tree(name: str, body: bytes) -> None:
    for status in (400, 422, 500):
        assert isinstance(engine(name).error(status, {}, body), EmbeddingError)


@pytest.mark.parametrize("name", NAMES)
@given(order=st.permutations(range(6)))
@settings(max_examples=40, deadline=None)
def test_the_index_decides_the_order(name: str, order: list[int]) -> None:
    data = [{"index": index, "embedding": [float(index + 1)]} for index in order]
    request = EmbeddingRequest("m", tuple("abcdef"))

    response = engine(name).decode(json.dumps({"data": data}).encode(), request)

    assert response.vectors[:, 0].tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("indexes", [[0], [0, 0], [1, 2], [-1, 0], [0, 1, 1], [0, 1, 2]])
def test_what_is_missing_twice_or_too_much_is_refused(name: str, indexes: list[int]) -> None:
    data = [{"index": index, "embedding": [1.0]} for index in indexes]

    with pytest.raises(BadReply):
        engine(name).decode(json.dumps({"data": data}).encode(), REQUEST)


@pytest.mark.parametrize("name", NAMES)
def test_vectors_of_several_sizes_are_refused(name: str) -> None:
    data = [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}]

    with pytest.raises(BadReply, match="sizes"):
        engine(name).decode(json.dumps({"data": data}).encode(), REQUEST)


def test_an_echo_of_megabytes_is_passed_over() -> None:
    """infinity repeats a list that is too long once for each branch of its union."""
    echo = ["a secret " * 100] * 10_000
    entries = [{"type": kind, "loc": [], "input": echo} for kind in ("too_long", "string_type")]
    body = json.dumps({"detail": entries}).encode()
    begun = time.perf_counter()

    said = complaint(body)

    assert said.kinds == {"too_long", "string_type"}
    assert said.text == ""
    assert time.perf_counter() - begun < 2


def test_texts_are_never_long() -> None:
    assert len(complaint(b"x" * 1_000_000).text) < 10_000
    assert len(complaint(json.dumps({"error": "x" * 1_000_000}).encode()).text) < 10_000


def test_the_number_that_an_engine_names_may_be_absurd() -> None:
    text = "Input length 1 longer than allowed " + "9" * 5000
    error = engine("ovms").error(400, {}, json.dumps({"error": text}).encode())

    assert error.limit == 999_999_999


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_pooling_here_is_the_models_own(tokens: int, size: int, seed: int) -> None:
    matrix = np.random.default_rng(seed).normal(size=(tokens, size)).astype(np.float32)
    body = json.dumps({"data": [{"index": 0, "embedding": matrix.tolist()}]}).encode()
    request = EmbeddingRequest("m", ("a",))

    for pooling, vector in (("cls", matrix[0]), ("mean", matrix.astype(np.float64).mean(axis=0))):
        got = engine("onnx", pooling=pooling).decode(body, request).vectors
        expected = vector / np.linalg.norm(vector.astype(np.float64))
        np.testing.assert_allclose(got[0], expected, rtol=1e-5, atol=1e-6)
