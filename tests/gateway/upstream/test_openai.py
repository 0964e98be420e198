"""OpenAI's dialect, and what is checked of every reply."""

from __future__ import annotations

import base64
import json
import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from embedway_upstream import (
    BadReply,
    BadVector,
    Bearer,
    EmbeddingRequest,
    EmbeddingResponse,
    Endpoint,
    HTTPReply,
    OpenAI,
    Plain,
    RateLimited,
    Usage,
)
from embedway_upstream.check import check
from embedway_upstream.engines.status import retry_after

REQUEST = EmbeddingRequest("m", ("a", "b"))
finite = st.floats(-1e3, 1e3, width=32).filter(lambda number: abs(number) > 1e-3)


def body(rows: list[object], **extra: object) -> bytes:
    data = [{"index": index, "embedding": row} for index, row in enumerate(rows)]
    return json.dumps({"data": data, **extra}).encode()


def request_for(count: int) -> EmbeddingRequest:
    return EmbeddingRequest("m", tuple("x" * count))


@given(arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 9)), elements=finite))
def test_floats_and_base64_are_the_same_vectors(rows: np.ndarray) -> None:
    floats = body([[float(number) for number in row] for row in rows])
    texts = body([base64.b64encode(row.astype("<f4").tobytes()).decode() for row in rows])

    for reply in (floats, texts):
        response = OpenAI().decode(reply, request_for(len(rows)))
        np.testing.assert_array_equal(rows, response.vectors)
        assert np.float32 == response.vectors.dtype


@given(st.permutations(range(6)))
def test_the_index_decides_the_order(order: list[int]) -> None:
    data = [{"index": index, "embedding": [float(index + 1)]} for index in order]

    response = OpenAI().decode(json.dumps({"data": data}).encode(), request_for(6))

    assert [1, 2, 3, 4, 5, 6] == response.vectors[:, 0].tolist()


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b"\xff",
        body([[1.0]]),
        body([[1.0], [1.0], [1.0]]),
        body([[1.0], [1.0, 2.0]]),
        body([[[1.0]], [[1.0]]]),
        body([[1.0], [None]]),
        body([[1.0], "AAAA"]),
        body([[1.0], "not base64!"]),
        body([[1.0], None]),
        b'{"data":[{"index":0,"embedding":[1.0]},{"index":0,"embedding":[1.0]}]}',
        b'{"data":[{"index":0,"embedding":[1.0]},{"index":2,"embedding":[1.0]}]}',
        b'{"data":[{"index":0,"embedding":[1.0]},{"index":-1,"embedding":[1.0]}]}',
        b'{"data":[{"embedding":[1.0]},{"embedding":[1.0]}]}',
        b'{"data":[{"index":"0","embedding":[1.0]},{"index":1,"embedding":[1.0]}]}',
        b'{"data":[{"index":0,"embedding":[NaN]},{"index":1,"embedding":[1.0]}]}',
    ],
)
def test_a_reply_that_cannot_be_right_is_refused(reply: bytes) -> None:
    with pytest.raises(BadReply):
        OpenAI().decode(reply, REQUEST)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_and_never_more(reply: bytes) -> None:
    with pytest.raises(BadReply):
        OpenAI().decode(reply, REQUEST)


def test_the_body_holds_what_is_meant_and_no_nulls() -> None:
    request = EmbeddingRequest("m", ("a",), input_type="query", dimensions=4)

    assert {"model": "m", "input": ["a"], "encoding_format": "base64", "dimensions": 4} == (
        json.loads(OpenAI().encode(request))
    )
    assert "other" == json.loads(OpenAI(model="other").encode(REQUEST))["model"]
    assert "query" == json.loads(OpenAI(input_type=True).encode(request))["input_type"]


def test_usage_may_be_absent() -> None:
    assert Usage(0, 0) == OpenAI().decode(body([[1.0], [2.0]]), REQUEST).usage
    assert Usage(5, 5) == (
        OpenAI().decode(body([[1.0], [2.0]], usage={"prompt_tokens": 5}), REQUEST).usage
    )


@pytest.mark.parametrize(
    "vectors",
    [
        np.ones((1, 4)),
        np.ones((3, 4)),
        np.ones((2, 3)),
        np.ones((2, 4, 1)),
        np.ones(2),
        np.zeros((2, 4)),
        np.array([[1, 1, 1, 1], [1, np.nan, 1, 1]]),
        np.array([[1, 1, 1, 1], [1, np.inf, 1, 1]]),
    ],
)
def test_what_cannot_be_the_vectors_is_refused(vectors: np.ndarray) -> None:
    response = EmbeddingResponse("m", vectors.astype(np.float32), Usage(1, 1), "x")

    with pytest.raises(BadReply):
        check(response, REQUEST, 4)


GOOD = [1.0, 1.0]


@pytest.mark.parametrize(
    ("rows", "bad"),
    [
        ([GOOD, [math.nan, 1.0], GOOD], (1,)),
        ([[0.0, 0.0], GOOD, [1.0, math.inf]], (0, 2)),
        ([[1.0, -math.inf]], (0,)),
        ([[0.0, 0.0]], (0,)),
        ([[1e-8, 1e-8], GOOD], (0,)),
    ],
)
def test_texts_without_a_vector_are_told_by_their_index(
    rows: list[list[float]], bad: tuple[int, ...]
) -> None:
    response = EmbeddingResponse("m", np.array(rows, np.float32), Usage(1, 1), "x")

    with pytest.raises(BadVector) as caught:
        check(response, request_for(len(rows)), 2)

    assert bad == caught.value.rows


@pytest.mark.parametrize(
    ("rows", "bad"),
    [
        ([GOOD, [None, 1.0], GOOD], (1,)),
        ([GOOD, None, [None, None]], (1, 2)),
        ([None], (0,)),
        ([GOOD, [math.nan, 1.0]], (1,)),
        ([[-math.inf, math.inf], GOOD], (0,)),
    ],
)
def test_nulls_and_words_for_numbers_are_told_by_the_index_too(
    rows: list[object], bad: tuple[int, ...]
) -> None:
    whole = json.loads(body(rows))
    shuffled = {"data": whole["data"][::-1]}

    for reply in (body(rows), json.dumps(shuffled, separators=(",", ":")).encode()):
        with pytest.raises(BadVector, match="not finite") as caught:
            OpenAI().decode(reply, request_for(len(rows)))
        assert bad == caught.value.rows


@pytest.mark.parametrize(
    "reply",
    [
        body([[None], None]),
        body([[math.nan], [math.inf]]),
        b'{"data":[{"index":0,"embedding":[null]},{"index":0,"embedding":[1.0]}]}',
        b'{"data":[{"index":1,"embedding":[null]},{"index":2,"embedding":[1.0]}]}',
        b'{"data":[{"embedding":[null]},{"embedding":[1.0]}]}',
        b'{"data":[{"index":0,"embedding":[null]}]}',
        b'{"data":[{"index":0,"vector":[1.0]},{"index":1,"vector":[1.0]}]}',
        b'{"data":[{"index":0,"embedding":[NaN',
    ],
)
def test_what_lacks_every_vector_or_is_not_in_order_is_about_no_text(reply: bytes) -> None:
    with pytest.raises(BadReply) as caught:
        OpenAI().decode(reply, REQUEST)

    assert not isinstance(caught.value, BadVector)


@pytest.mark.parametrize("rows", [np.zeros((2, 4)), np.full((2, 4), np.nan)])
def test_a_reply_without_any_vector_is_about_no_text(rows: np.ndarray) -> None:
    response = EmbeddingResponse("m", rows.astype(np.float32), Usage(1, 1), "x")

    with pytest.raises(BadReply, match="for every text") as caught:
        check(response, REQUEST, 4)

    assert not isinstance(caught.value, BadVector)


def test_an_overflow_of_squares_is_not_taken_for_infinity() -> None:
    """Numbers beyond 1e19 have squares beyond float32; such a vector is refused, not passed."""
    response = EmbeddingResponse("m", np.full((2, 4), 1e30, np.float32), Usage(1, 1), "x")

    with pytest.raises(BadReply):
        check(response, REQUEST, 4)


@pytest.mark.parametrize(
    ("url", "path", "expected"),
    [
        ("https://a.test", "/v1/embeddings", "https://a.test/v1/embeddings"),
        ("https://a.test/", "/v1/embeddings", "https://a.test/v1/embeddings"),
        ("https://a.test/v1", "/v1/embeddings", "https://a.test/v1/embeddings"),
        ("https://a.test/x/v1/", "/v1/embeddings", "https://a.test/x/v1/embeddings"),
        ("https://a.test/v1", "/v3/embeddings", "https://a.test/v1/v3/embeddings"),
    ],
)
def test_the_engines_path_is_added_to_the_base(url: str, path: str, expected: str) -> None:
    assert expected == Plain(url).address(path)


def endpoint(token: str = "s3cret") -> Endpoint:
    return Endpoint(
        name="one",
        engine=OpenAI(),
        platform=Plain("https://a.test"),
        credentials=Bearer(token),
        path="/other",
    )


def test_a_call_is_whole_and_shows_no_secret() -> None:
    call = endpoint().call(REQUEST)

    assert ("POST", "https://a.test/other") == (call.method, call.url)
    assert "Bearer s3cret" == call.headers["authorization"]
    assert "application/json" == call.headers["content-type"]
    assert "s3cret" not in repr(endpoint())


@pytest.mark.parametrize("token", ["a\nb", "ü", "a\x00"])
def test_a_token_that_no_header_can_carry_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="header"):
        Bearer(token)


def test_errors_name_the_upstream_and_the_pause() -> None:
    with pytest.raises(RateLimited) as caught:
        endpoint().read(HTTPReply(429, {"retry-after": "7"}, b""), REQUEST)

    assert ("one", 7.0) == (caught.value.upstream, caught.value.retry_after)


def test_retry_after_is_read_in_both_forms() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)

    assert 12.0 == retry_after({"retry-after": "12"})
    assert 85 < (retry_after({"retry-after": later}) or 0) <= 90
    assert 0.0 == retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"})
    assert 86_400.0 == retry_after({"retry-after": "9" * 400})
    assert retry_after({"retry-after": f"Wed, 21 Oct {'9' * 20} 07:28:00 GMT"}) is None
    for nonsense in ("", "soon", "-5", "1.5.2", "²"):
        assert retry_after({"retry-after": nonsense}) is None
