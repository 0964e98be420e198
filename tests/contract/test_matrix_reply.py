"""
The matrix, replies: however an engine writes its answer, the client gets the same.

The answer is checked bit for bit; a reply that cannot be the right vectors is an error.
"""

from __future__ import annotations

from typing import Any

import httpx2
import numpy as np
import openai
import pytest

from doubles.engine_answer import own
from doubles.engine_columns import COLUMNS, RERANKERS, as_reranker, row
from doubles.engine_gateway import MODEL, Town
from doubles.engine_server import Answer, Asked, vectors_of
from doubles.rerank_upstream import relevance

EVERY = pytest.mark.parametrize("column", COLUMNS)
TEXTS = ["first text", "a second text, longer", "third"]
QUERY = "what is asked"
DOCUMENTS = [f"document {number}" for number in range(50)]


@EVERY
async def test_model(town: Town, column: str) -> None:
    """The name that was asked for, an alias too; never a path on the server's disk."""
    async with town.gateway(column, COLUMNS[column].server(), aliases=["short"]) as caller:
        for name in (MODEL, "short"):
            answer = await caller.openai.embeddings.create(model=name, input=TEXTS)
            assert name == answer.model
            assert "list" == answer.object
            assert list(range(3)) == [item.index for item in answer.data]


TOKENS = 4 + 6 + 3  # the words, and two special tokens a text
ESTIMATE = 3 + 6 + 2  # a token for every four characters


@row({"*": TOKENS, "infinity": ESTIMATE})
async def test_usage(town: Town, column: str, expected: int) -> None:
    """Tokens, and never characters; summed over the pieces of a request."""
    async with town.gateway(column, COLUMNS[column].server()) as caller:
        answer = await caller.openai.embeddings.create(model=MODEL, input=TEXTS)
        many = await caller.openai.embeddings.create(model=MODEL, input=TEXTS * 40)

    assert (expected, expected) == (answer.usage.prompt_tokens, answer.usage.total_tokens)
    assert expected * 40 == many.usage.total_tokens


@row({"ovms": ESTIMATE}, ["ovms-2024.5"])
async def test_usage_of_a_build_that_tells_none(town: Town, column: str, expected: int) -> None:
    server = COLUMNS[column].server(tells_usage=False)
    async with town.gateway(column, server) as caller:
        answer = await caller.openai.embeddings.create(model=MODEL, input=TEXTS)

    assert expected == answer.usage.total_tokens


UNPOOLED = {
    "infinity": ({"colbert": True}, "multi-vector"),
    "vllm": ({"task": "token_embed", "floats": True}, "every token"),
    "score-cls": ({}, "set `pooling:`"),
}


@row(UNPOOLED, ["infinity", "infinity-multi", "vllm-0.33", "vllm-0.10", "score-cls"])
async def test_shape(town: Town, column: str, expected: tuple[dict[str, Any], str]) -> None:
    """A vector for each token is never flattened, cut or taken for the text's."""
    options, cure = expected
    server = COLUMNS[column].server(**options)
    async with town.gateway(column, server, upstream={"pooling": None}) as caller:
        with pytest.raises(openai.InternalServerError) as refused:
            await caller.embed(TEXTS)

    assert 502 == refused.value.status_code
    assert cure in refused.value.message
    server.odd.clear()


@row({"*": 2.0, "tei": 1.0, "infinity": 1.0, "openai": 1.0})
async def test_normalised(town: Town, column: str, expected: float) -> None:
    """The length is the engine's: what is not normalised is passed on as it is."""
    async with town.gateway(column, COLUMNS[column].server(length=expected)) as caller:
        found = await caller.embed(TEXTS)
        np.testing.assert_array_equal(found, own(column, caller.server, TEXTS))

    pooled_here = column in {"score-cls", "score-mean"}
    lengths = np.linalg.norm(found, axis=1)
    np.testing.assert_allclose(lengths, 1.0 if pooled_here else expected, rtol=1e-6)


@EVERY
async def test_dimensions(town: Town, column: str) -> None:
    """Cut and normalised here, whatever the engine would do; refused unless it is declared."""
    server = COLUMNS[column].server()
    async with town.gateway(column, server, matryoshka=[4]) as caller:
        found = await caller.embed(TEXTS, dimensions=4)
        whole = await caller.embed(TEXTS, dimensions=8)
        with pytest.raises(openai.BadRequestError, match="allowed: 4, 8") as refused:
            await caller.embed(TEXTS, dimensions=5)

    short = own(column, server, TEXTS)[:, :4]
    short = short / np.linalg.norm(short, axis=1, keepdims=True)
    np.testing.assert_array_equal(found, short.astype(np.float32))
    np.testing.assert_array_equal(whole, own(column, server, TEXTS))
    assert "dimensions" == refused.value.param


@EVERY
async def test_dimensions_of_a_model_that_has_one_size(town: Town, column: str) -> None:
    async with town.gateway(column, COLUMNS[column].server()) as caller:
        with pytest.raises(openai.BadRequestError, match="allowed: 8") as refused:
            await caller.embed(TEXTS, dimensions=4)

    assert "dimensions" == refused.value.param
    assert [] == caller.server.seen


@EVERY
@pytest.mark.parametrize("form", ["float", "base64"])
@pytest.mark.parametrize("floats", [False, True])
async def test_number_form(town: Town, column: str, form: Any, floats: bool) -> None:
    """The shortest decimals, 17 digits, doubles of float32 and base64 are one and the same."""
    texts = [f"number {index}" for index in range(200)]
    server = COLUMNS[column].server(floats=floats, dimensions=16)
    async with town.gateway(column, server) as caller:
        found = await caller.embed(texts, encoding_format=form)

    np.testing.assert_array_equal(found, own(column, server, texts))


@EVERY
@pytest.mark.parametrize("floats", [False, True])
async def test_nan(town: Town, column: str, floats: bool) -> None:
    """A null, or the bytes of NaN, with 200."""
    server = COLUMNS[column].server(spoil="nan", floats=floats)
    async with town.gateway(column, server) as caller:
        with pytest.raises(openai.InternalServerError, match="not finite") as refused:
            await caller.embed(TEXTS)

    assert 502 == refused.value.status_code


ALLOWED = {
    "content-type",
    "content-length",
    "x-request-id",
    "x-embedway-upstream",
    "x-embedway-vector-space",
    "x-should-retry",
}


@EVERY
async def test_headers_of_the_reply(town: Town, column: str) -> None:
    """Only ours: no timings, no ids, no CORS of an engine's, of an error neither."""
    server = COLUMNS[column].server()
    server.headers |= {"access-control-allow-origin": "*", "x-compute-time": "3", "server": "x"}
    async with town.gateway(column, server) as caller:
        good = await caller.post(input=TEXTS)
        server.spoil = "nan"
        bad = await caller.post(input=TEXTS)
        across = await caller.http.options(
            "/v1/embeddings",
            headers={"origin": "https://a.example", "access-control-request-method": "POST"},
        )

    assert (200, 502) == (good.status_code, bad.status_code)
    assert set(good.headers) <= ALLOWED
    assert set(bad.headers) <= ALLOWED
    assert not [name for name in across.headers if name.startswith("access-control")]


@row({"tei": "/rerank", "ovms": "/v3/rerank", "infinity": "/rerank", "vllm": "/rerank"}, RERANKERS)
async def test_rerank(town: Town, column: str, expected: str) -> None:
    server = as_reranker(column)
    order = sorted(range(50), key=lambda index: -relevance(QUERY, DOCUMENTS[index]))
    async with town.gateway(column, server, capabilities=["rerank"]) as caller:
        every = await rerank(caller.openai)
        best = await rerank(caller.openai, top_n=3, return_documents=True)

    assert order == [item["index"] for item in every["results"]]
    assert {"index", "relevance_score"} == set(every["results"][0])
    for item in every["results"]:
        assert relevance(QUERY, DOCUMENTS[item["index"]]) == item["relevance_score"]
    assert order[:3] == [item["index"] for item in best["results"]]
    assert {"text": DOCUMENTS[order[0]]} == best["results"][0]["document"]
    assert MODEL == every["model"]
    assert {expected} == {seen.path for seen in server.seen}


async def rerank(client: openai.AsyncOpenAI, **more: Any) -> dict[str, Any]:
    body = {"model": MODEL, "query": QUERY, "documents": DOCUMENTS, **more}
    reply = await client.post("/rerank", body=body, cast_to=httpx2.Response)
    answer: dict[str, Any] = reply.json()
    return answer


def test_base64_is_in_the_machines_order_unless_it_is_named() -> None:
    """The stand-in for vLLM is one of a machine where that shows."""
    server = COLUMNS["vllm-0.33"].server()
    for order, given in (("<f4", b',"endianness":"little"'), (">f4", b"")):
        body = b'{"input":"a","encoding_format":"base64"' + given + b"}"
        headers = {"content-type": "application/json"}
        answer: Answer = server.answer(Asked("POST", "/v1/embeddings", headers, body))
        import base64

        raw = base64.b64decode(answer.body["data"][0]["embedding"])
        np.testing.assert_array_equal(
            np.frombuffer(raw, order), vectors_of(["a"], model="model")[0]
        )
