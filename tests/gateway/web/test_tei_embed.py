"""`POST /embed`, as a client of text-embeddings-inference sees it."""

from __future__ import annotations

import re
from typing import Any

import httpx
import numpy as np
import pytest

from doubles.openai_upstream import OpenAIUpstream
from doubles.tei_answer import refused, vectors_of
from embedway_upstream.testing import fake_vectors


async def ask(client: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await client.post("/embed", json=body)


async def test_vectors_are_those_of_the_openai_route_digit_by_digit(
    client: httpx.AsyncClient,
) -> None:
    texts = [f"text {number}" for number in range(40)]
    openai = await client.post("/v1/embeddings", json={"model": "short", "input": texts})

    native = await ask(client, inputs=texts)

    np.testing.assert_array_equal(fake_vectors(texts, 8), vectors_of(native))
    digits = re.findall(r'"embedding":(\[[^]]*\])', openai.text)
    assert f"[{','.join(digits)}]" == native.text


async def test_one_text_is_a_list_of_one_vector(client: httpx.AsyncClient) -> None:
    response = await ask(client, inputs="alone")

    np.testing.assert_array_equal(fake_vectors(["alone"], 8), vectors_of(response))


async def test_the_answer_says_who_answered(client: httpx.AsyncClient) -> None:
    openai = await client.post("/v1/embeddings", json={"model": "short", "input": "a"})

    native = await client.post("/embed", json={"inputs": "a"}, headers={"x-request-id": "my-id"})

    assert {
        "content-type",
        "content-length",
        "x-embedway-upstream",
        "x-embedway-vector-space",
        "x-request-id",
    } == set(native.headers)
    assert "application/json" == native.headers["content-type"]
    assert "one" == native.headers["x-embedway-upstream"]
    assert "my-id" == native.headers["x-request-id"]
    space = "x-embedway-vector-space"
    assert openai.headers[space] == native.headers[space]


@pytest.mark.parametrize(
    "options",
    [
        {"truncate": True},
        {"truncate": None},
        {"truncation_direction": "right"},
        {"truncation_direction": "Right"},
        {"truncation_direction": None},
        {"normalize": True},
        {"normalize": None},
        {"prompt_name": None},
        {"dimensions": None},
        {"model": None},
        {"encoding_format": "base64"},
    ],
)
async def test_what_clients_send_by_themselves_is_taken(
    client: httpx.AsyncClient, options: dict[str, Any]
) -> None:
    response = await ask(client, inputs=["a"], **options)

    np.testing.assert_array_equal(fake_vectors(["a"], 8), vectors_of(response))


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        ({}, "a"),
        ({"prompt_name": "query"}, "query: a"),
        ({"prompt_name": "document"}, "a"),
        ({"input_type": "query"}, "query: a"),
        ({"input_type": "query", "prompt_name": "query"}, "query: a"),
    ],
)
async def test_either_name_asks_for_a_prompt(
    client: httpx.AsyncClient, upstream: OpenAIUpstream, options: dict[str, Any], seen: str
) -> None:
    await ask(client, inputs="a", **options)

    assert [[seen]] == [item.body["input"] for item in upstream.seen]


async def test_dimensions_are_the_models_own_sizes(client: httpx.AsyncClient) -> None:
    short = vectors_of(await ask(client, inputs=["a"], dimensions=4))
    message = refused(await ask(client, inputs=["a"], dimensions=3), 422, "Validation")

    whole = fake_vectors(["a"], 8)[:, :4]
    np.testing.assert_allclose(whole / np.linalg.norm(whole), short, rtol=1e-6)
    assert "allowed: 4, 8" in message


async def test_vectors_that_are_not_of_unit_length_are_scaled_to_it(
    client: httpx.AsyncClient, upstream: OpenAIUpstream
) -> None:
    """TEI normalises unless it is told not to; the model's own vectors are another space."""
    upstream.length = 5.0

    response = await ask(client, inputs=["a", "b"])

    np.testing.assert_allclose(fake_vectors(["a", "b"], 8), vectors_of(response), rtol=1e-6)
    assert "x-embedway-vector-space" not in response.headers


async def test_vectors_of_nearly_unit_length_are_left_alone(
    client: httpx.AsyncClient, upstream: OpenAIUpstream
) -> None:
    upstream.length = 0.999
    alone = await ask(client, inputs=["a"])
    upstream.length = np.array([[0.999], [5.0]], np.float32)
    beside = await ask(client, inputs=["a", "b"])

    expected = fake_vectors(["a"], 8) * np.float32(0.999)
    np.testing.assert_array_equal(expected, vectors_of(alone))
    np.testing.assert_array_equal(expected, vectors_of(beside)[:1])
    assert "x-embedway-vector-space" in alone.headers


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"truncate": False}, "truncate: false cannot be promised"),
        ({"truncation_direction": "left"}, "truncation_direction must be 'right'"),
        ({"truncation_direction": "Left"}, "truncation_direction must be 'right'"),
        ({"truncation_direction": 5}, "$.truncation_direction"),
        ({"normalize": False}, "POST /v1/embeddings gives the model's vectors"),
        ({"prompt_name": "passage"}, "prompt_name must be 'query' or 'document'"),
        ({"prompt_name": ""}, "prompt_name must be 'query' or 'document'"),
        ({"input_type": "passage"}, "input_type must be 'query' or 'document'"),
        ({"input_type": "query", "prompt_name": "document"}, "different prompts"),
        ({"dimensions": 0}, "dimensions must be at least 1"),
        ({"dimensions": "many"}, "$.dimensions"),
        ({"inputs": [1, 2]}, "token ids"),
        ({"inputs": [[1, 2]]}, "token ids"),
        ({"inputs": ["private words", [1, 2]]}, "token ids"),
        ({"inputs": [None]}, "$.inputs[0]"),
        ({"inputs": {"text": "private words"}}, "$.inputs"),
        ({"inputs": None}, "$.inputs"),
        ({"inputs": ["a"] * 2049}, "inputs has 2049 texts; at most 2048"),
        ({"model": 5}, "$.model"),
    ],
)
async def test_what_cannot_be_promised_is_refused(
    client: httpx.AsyncClient, upstream: OpenAIUpstream, body: dict[str, Any], words: str
) -> None:
    message = refused(await ask(client, **{"inputs": ["private words"], **body}), 422, "Validation")

    assert words in message
    assert "private words" not in message
    assert [] == upstream.seen


@pytest.mark.parametrize(
    ("inputs", "words"), [("", "inputs[0]"), (["a", ""], "inputs[1]"), ([], "inputs cannot")]
)
async def test_nothing_to_embed_is_empty(
    client: httpx.AsyncClient, inputs: str | list[str], words: str
) -> None:
    assert words in refused(await ask(client, inputs=inputs), 400, "Empty")


async def test_a_body_without_inputs_names_the_field(client: httpx.AsyncClient) -> None:
    assert "`inputs`" in refused(await ask(client, input=["a"]), 422, "Validation")


async def test_the_schema_tells_both_forms(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]

    for path, fields in (("/embed", {"inputs"}), ("/rerank", {"query", "texts"})):
        operation = paths[path]["post"]
        body = operation["requestBody"]["content"]["application/json"]["schema"]
        error = operation["responses"]["422"]["content"]["application/json"]["schema"]
        assert fields == set(body["required"])
        assert {"error", "error_type"} == set(error["required"])
