"""`POST /v1/embeddings`, as a client of OpenAI's sees it."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doubles.openai_upstream import OpenAIUpstream
from embedway_gateway.web.error import HTTPError
from embedway_gateway.web.reader import read_embedding_body
from embedway_upstream.testing import fake_vectors


async def ask(client: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await client.post("/v1/embeddings", json={"model": "short", **body})


def vectors(response: httpx.Response) -> Any:
    assert 200 == response.status_code, response.text
    items = response.json()["data"]
    assert list(range(len(items))) == [item["index"] for item in items]
    rows = [item["embedding"] for item in items]
    if isinstance(rows[0], str):
        rows = [np.frombuffer(base64.b64decode(row), "<f4") for row in rows]
    return np.array(rows, np.float32)


@pytest.mark.parametrize("encoding", ["float", "base64", None, "absent"])
@pytest.mark.parametrize("fault", [None, "floats", "shuffled"])
async def test_vectors_are_exact_in_either_encoding(
    client: httpx.AsyncClient, upstream: OpenAIUpstream, encoding: str | None, fault: str | None
) -> None:
    upstream.faults.append(fault)
    extra = {} if encoding == "absent" else {"encoding_format": encoding}

    response = await ask(client, input=["a", "b", "c"], **extra)

    np.testing.assert_array_equal(fake_vectors(["a", "b", "c"], 8), vectors(response))
    is_text = isinstance(response.json()["data"][0]["embedding"], str)
    assert (encoding == "base64") == is_text


async def test_the_answer_has_the_name_that_was_asked_for_and_the_usage(
    client: httpx.AsyncClient,
) -> None:
    body = (await ask(client, input=["one two", "three"])).json()

    assert "list" == body["object"]
    assert "short" == body["model"]
    assert {"prompt_tokens": 3, "total_tokens": 3} == body["usage"]
    assert "embedding" == body["data"][0]["object"]


async def test_the_answer_says_who_answered_and_nothing_of_where(
    client: httpx.AsyncClient,
) -> None:
    response = await client.post(
        "/v1/embeddings", json={"model": "short", "input": "a"}, headers={"x-request-id": "my-id"}
    )

    assert {
        "content-type",
        "content-length",
        "x-embedway-upstream",
        "x-embedway-vector-space",
        "x-request-id",
    } == set(response.headers)
    assert "one" == response.headers["x-embedway-upstream"]
    assert "my-id" == response.headers["x-request-id"]


async def test_the_upstream_gets_a_body_made_for_it_and_only_our_headers(
    client: httpx.AsyncClient, upstream: OpenAIUpstream
) -> None:
    await client.post(
        "/v1/embeddings",
        json={"model": "short", "input": "a", "user": "u", "input_type": "query", "x": 1},
        headers={"authorization": "Bearer caller", "x-evil": "1", "cookie": "a=b"},
    )
    seen = upstream.seen[0]

    assert "/v1/embeddings" == seen.path
    assert {
        "model": "served-name",
        "input": ["query: a"],
        "encoding_format": "base64",
    } == seen.body
    assert "Bearer s3cret-token" == seen.headers["authorization"]
    assert not {"x-evil", "cookie", "x-request-id"} & set(seen.headers)


async def test_a_large_request_is_cut_and_joined_in_order(
    client: httpx.AsyncClient, upstream: OpenAIUpstream
) -> None:
    texts = [f"text {number}" for number in range(100)]
    upstream.faults.extend(["shuffled"] * 7)

    response = await ask(client, input=texts, encoding_format="base64")

    np.testing.assert_array_equal(fake_vectors(texts, 8), vectors(response))
    assert [16] * 6 + [4] == sorted((len(s.body["input"]) for s in upstream.seen), reverse=True)
    assert 200 == response.json()["usage"]["total_tokens"]


@pytest.mark.parametrize("size", [4, 8])
async def test_dimensions_are_cut_where_the_model_allows_it(
    client: httpx.AsyncClient, upstream: OpenAIUpstream, size: int
) -> None:
    rows = vectors(await ask(client, input="a", dimensions=size))

    assert (1, size) == rows.shape
    assert 1.0 == pytest.approx(float(np.linalg.norm(rows)), abs=1e-6)
    assert "dimensions" not in upstream.seen[0].body


TOKEN_IDS = "check_embedding_ctx_length=False"
BAD_BODIES: list[tuple[str, str | None, str]] = [
    ('{"model":"short"}', "input", "missing"),
    ('{"model":"short","input":[]}', "input", "empty list"),
    ('{"model":"short","input":""}', "input", "empty string"),
    ('{"model":"short","input":["a",""]}', "input", "input[1]"),
    ('{"model":"short","input":[1,2,3]}', "input", TOKEN_IDS),
    ('{"model":"short","input":[[1,2],[3]]}', "input", TOKEN_IDS),
    ('{"model":"short","input":["a",[1]]}', "input", TOKEN_IDS),
    ('{"model":"short","input":["a",null]}', "input", "input[1]"),
    ('{"model":"short","input":[true]}', "input", "input[0]"),
    ('{"model":"short","input":[1.5]}', "input", "input[0]"),
    ('{"model":"short","input":{"a":1}}', "input", "string or a list"),
    ('{"model":"short","input":null}', "input", "string or a list"),
    ('{"model":"short","input":7}', "input", "string or a list"),
    ('{"input":"a"}', "model", "model"),
    ('{"model":3,"input":"a"}', "model", "string"),
    ('{"model":null,"input":"a"}', "model", "string"),
    ('{"model":"short","input":"a","encoding_format":"hex"}', "encoding_format", "base64"),
    ('{"model":"short","input":"a","encoding_format":[1]}', "encoding_format", "base64"),
    ('{"model":"short","input":"a","dimensions":0}', "dimensions", "at least 1"),
    ('{"model":"short","input":"a","dimensions":-3}', "dimensions", "at least 1"),
    ('{"model":"short","input":"a","dimensions":5}', "dimensions", "allowed: 4, 8"),
    ('{"model":"short","input":"a","dimensions":4.5}', "dimensions", "integer"),
    ('{"model":"short","input":"a","dimensions":"8"}', "dimensions", "integer"),
    ('{"model":"short","input":"a","dimensions":true}', "dimensions", "integer"),
    ('{"model":"short","input":"a","dimensions":1e400}', None, "not JSON"),
    ('{"model":"short","input":"a","dimensions":99999999999999999999999}', "dimensions", ""),
    ('{"model":"short","input":"a","input_type":"passage"}', "input_type", "document"),
    ('{"model":"short","input":"a","user":5}', "user", "string"),
    ("[]", None, "object"),
    ('"a"', None, "object"),
    ("", None, "not JSON"),
    ("{", None, "not JSON"),
    ('{"model":"short","input":"a"} x', None, "not JSON"),
    ('{"model":"short","input":"a\\ud800"}', "input", "surrogate"),
    ('{"model":"short","input":["ok","\\udc00 b"]}', "input", "surrogate"),
    ("[" * 100_000, None, ""),
    ('{"model":"short","input":NaN}', None, ""),
]


@pytest.mark.parametrize(("body", "param", "part"), BAD_BODIES)
async def test_bad_bodies_are_told_with_their_field(
    client: httpx.AsyncClient, upstream: OpenAIUpstream, body: str, param: str | None, part: str
) -> None:
    response = await client.post(
        "/v1/embeddings", content=body, headers={"content-type": "application/json"}
    )
    error = response.json()["error"]

    assert 400 == response.status_code, response.text
    assert param == error["param"], error
    assert part in error["message"]
    assert {"message", "type", "param", "code"} == set(error)
    assert "invalid_request_error" == error["type"]
    assert len(error["message"]) < 400
    assert [] == upstream.seen


async def test_bytes_that_are_no_utf8_are_told(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/v1/embeddings",
        content=b'{"model":"short","input":"\xff\xfe"}',
        headers={"content-type": "application/json"},
    )

    assert 400 == response.status_code
    assert "UTF-8" in response.json()["error"]["message"]


async def test_an_unknown_model_is_404_with_the_known_names(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/embeddings", json={"model": "m" * 500, "input": "a"})
    error = response.json()["error"]

    assert 404 == response.status_code
    assert ("model", "model_not_found") == (error["param"], error["code"])
    assert "org/model" in error["message"]
    assert len(error["message"]) < 300


async def test_2048_inputs_are_taken_and_no_more(client: httpx.AsyncClient) -> None:
    assert 200 == (await ask(client, input=["a"] * 2048)).status_code

    response = await ask(client, input=["a"] * 2049)

    assert 400 == response.status_code
    assert "2048" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "text", ["\x00", "a\x00b", "\u2028", "😀" * 50, "\ufeff", "'; DROP TABLE", " ", "\n"]
)
async def test_unusual_texts_arrive_unchanged(
    client: httpx.AsyncClient, upstream: OpenAIUpstream, text: str
) -> None:
    rows = vectors(await ask(client, input=[text, "x"]))

    assert [text, "x"] == upstream.seen[0].body["input"]
    np.testing.assert_array_equal(fake_vectors([text, "x"], 8), rows)


async def test_a_text_of_a_megabyte_is_taken(client: httpx.AsyncClient) -> None:
    assert 200 == (await ask(client, input="word " * 200_000)).status_code


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_another_content_type_is_415(client: httpx.AsyncClient, kind: str) -> None:
    response = await client.post(
        "/v1/embeddings", content=b'{"model":"short","input":"a"}', headers={"content-type": kind}
    )

    assert 415 == response.status_code
    assert "application/json" in response.json()["error"]["message"]


async def test_a_compressed_body_is_415(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/v1/embeddings",
        content=b"\x1f\x8b",
        headers={"content-type": "application/json", "content-encoding": "gzip"},
    )

    assert 415 == response.status_code


async def test_a_body_over_the_limit_is_413_while_reading(
    client: httpx.AsyncClient, upstream: OpenAIUpstream
) -> None:
    read = 0

    async def endless() -> Any:
        nonlocal read
        for _ in range(1000):
            read += 100_000
            yield b"x" * 100_000

    response = await client.post(
        "/v1/embeddings", content=endless(), headers={"content-type": "application/json"}
    )

    assert 413 == response.status_code
    assert "body_too_large" == response.json()["error"]["code"]
    assert [] == upstream.seen


async def test_a_stated_length_over_the_limit_is_413_before_reading(
    client: httpx.AsyncClient,
) -> None:
    response = await client.post(
        "/v1/embeddings",
        content=b"{}",
        headers={"content-type": "application/json", "content-length": "3000001"},
    )

    assert 413 == response.status_code


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/embeddings", 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/v2/nothing", 404, "unknown_route"),
        ("POST", "/", 405, "method_not_allowed"),
        ("GET", "/v1/models/none", 404, "model_not_found"),
    ],
)
async def test_wrong_routes_and_methods_answer_in_openais_form(
    client: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    response = await client.request(method, path)

    assert (status, code) == (response.status_code, response.json()["error"]["code"])
    assert response.headers["x-request-id"]
    if status == 405:
        assert response.headers["allow"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["model", "input", "dimensions", "encoding_format", "user"]), inner
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_read_or_refused_and_never_more(value: object) -> None:
    try:
        body = read_embedding_body(json.dumps(value).encode())
    except HTTPError:
        return

    assert body.inputs
    assert all(isinstance(text, str) and text for text in body.inputs)


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_and_never_more(value: bytes) -> None:
    with pytest.raises(HTTPError):
        read_embedding_body(value)
