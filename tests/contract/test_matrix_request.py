"""
The matrix, requests: whatever a client sends, each engine is sent what it takes, or nothing.

Each row is one difference between the engines; its stand-ins refuse what the engines refuse
(test_stand_ins.py), and a field that is merely ignored is odd to them.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import openai
import pytest

from doubles.engine_answer import own
from doubles.engine_columns import COLUMNS, row
from doubles.engine_gateway import MODEL, Caller, Town
from doubles.engine_server import EngineServer, cut

EVERY = pytest.mark.parametrize("column", COLUMNS)
TEXTS = ["first text", "a second text, longer", "third"]


def bodies(server: EngineServer) -> list[dict[str, Any]]:
    return [json.loads(asked.body) for asked in server.seen]


async def answered(caller: Caller, column: str, texts: list[str] = TEXTS, **more: Any) -> None:
    np.testing.assert_array_equal(
        await caller.embed(texts, **more), own(column, caller.server, texts)
    )


@row(
    {
        "tei": "/v1/embeddings",
        "ovms": "/v3/embeddings",
        "infinity": "/embeddings",
        "vllm": "/v1/embeddings",
        "score": "/predict",
        "openai": "/v1/embeddings",
    }
)
async def test_path_and_headers(town: Town, column: str, expected: str) -> None:
    """A JSON content type and a length always go with it: without them OVMS answers 404."""
    async with town.gateway(column, COLUMNS[column].server()) as caller:
        await answered(caller, column)

    assert {("POST", expected)} == {(seen.method, seen.path) for seen in caller.server.seen}
    for seen in caller.server.seen:
        assert "application/json" == seen.headers["content-type"]
        assert str(len(seen.body)) == seen.headers["content-length"]


@EVERY
async def test_model_missing(town: Town, column: str) -> None:
    async with town.gateway(column, COLUMNS[column].server()) as caller:
        reply = await caller.http.post("/v1/embeddings", json={"input": "a"})

    assert (400, "model") == (reply.status_code, reply.json()["error"]["param"])
    assert [] == caller.server.seen


@EVERY
async def test_model_is_sent_under_the_servers_name(town: Town, column: str) -> None:
    async with town.gateway(column, COLUMNS[column].server(model="odsc-llm")) as caller:
        await answered(caller, column)

    assert {"odsc-llm"} == {body["model"] for body in bodies(caller.server)}


@row({"*": 502, "tei": 200, "infinity-multi": 502, "infinity": 200, "score": 200})
async def test_unknown_model(town: Town, column: str, expected: int) -> None:
    """Where a wrong `model:` is not ignored, the answer names the setting; it is never a 404."""
    server = COLUMNS[column].server()
    async with town.gateway(column, server, upstream={"model": "wrong"}) as caller:
        if expected == 200:
            await answered(caller, column)
        else:
            with pytest.raises(openai.APIStatusError, match="set `model:` of the upstream") as no:
                await caller.embed(TEXTS)
            assert expected == no.value.status_code
        with pytest.raises(openai.NotFoundError) as missing:
            await caller.openai.embeddings.create(model="nope", input="a")

    assert "model_not_found" == missing.value.code


@EVERY
@pytest.mark.parametrize("field", ["dimensions", "encoding_format", "user", "input_type"])
async def test_null(town: Town, column: str, field: str) -> None:
    async with town.gateway(column, COLUMNS[column].server()) as caller:
        reply = await caller.post(input=TEXTS, **{field: None})
        rows = [item["embedding"] for item in reply.json()["data"]]
        expected = own(column, caller.server, TEXTS)

    np.testing.assert_array_equal(np.array(rows, np.float32), expected)


@EVERY
@pytest.mark.parametrize("form", ["float", "base64", None])
async def test_encoding_format(town: Town, column: str, form: str | None) -> None:
    """What the client asks for is not what the engine is asked for."""
    more = {} if form is None else {"encoding_format": form}
    async with town.gateway(column, COLUMNS[column].server()) as caller:
        await answered(caller, column, **more)

    asked = {body.get("encoding_format") for body in bodies(caller.server)}
    assert ({None} if column.startswith("score") else {"base64"}) == asked


@EVERY
@pytest.mark.parametrize("ids", [[101, 7592, 102], [[101, 7592], [101]], ["a", 5], ["a", [5]]])
async def test_token_ids(town: Town, column: str, ids: Any) -> None:
    async with town.gateway(column, COLUMNS[column].server()) as caller:
        reply = await caller.post(input=ids)

    assert (400, "input") == (reply.status_code, reply.json()["error"]["param"])
    assert "token ids" in reply.json()["error"]["message"]
    assert [] == caller.server.seen


@EVERY
@pytest.mark.parametrize("given", ["", [""], ["a", ""], []])
async def test_empty_string_and_list(town: Town, column: str, given: Any) -> None:
    async with town.gateway(column, COLUMNS[column].server()) as caller:
        with pytest.raises(openai.BadRequestError, match="empty") as refused:
            await caller.openai.embeddings.create(model=MODEL, input=given)

    assert "input" == refused.value.param
    assert [] == caller.server.seen


PIECES = {"*": 2048, "tei": 32, "score-pooled": 32, "score-cls": 4, "score-mean": 1}


@row(PIECES)
async def test_list_length(town: Town, column: str, expected: int) -> None:
    texts = [f"number {index}" for index in range(70)]
    async with town.gateway(column, COLUMNS[column].server()) as caller:
        await caller.begin()
        await answered(caller, column, texts)

    sizes = [min(expected, 70 - start) for start in range(0, 70, expected)]
    assert sorted(sizes) == sorted(len(body["input"]) for body in bodies(caller.server))


@row(
    {"*": 2048, "tei": 32, "score": 32},
    [name for name in COLUMNS if name not in {"score-cls", "score-mean"}],
)
async def test_longest_list(town: Town, column: str, expected: int) -> None:
    texts = [f"number {index}" for index in range(2048)]
    async with town.gateway(column, COLUMNS[column].server()) as caller:
        await caller.begin()
        await answered(caller, column, texts)
        with pytest.raises(openai.BadRequestError, match="2048"):
            await caller.embed([*texts, "one more"])

    assert [expected] * (2048 // expected) == [len(one["input"]) for one in bodies(caller.server)]


# aiohttp warns of large bodies that are bytes already.
LARGE = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")


@LARGE
@row({"tei": 2_000_000, "score": 10_000_000, "*": 64_000_000})
async def test_payload(town: Town, column: str, expected: int) -> None:
    """Bodies stay below what the server takes, however many texts that is."""
    texts = [f"{index} " + "ü" * 60_000 for index in range(100)]
    more = {"max_inputs": 100} if column.startswith("score") else {}
    async with town.gateway(column, COLUMNS[column].server(), upstream=more) as caller:
        await answered(caller, column, texts)

    assert expected >= max(len(seen.body) for seen in caller.server.seen)


@LARGE
@row({"tei": 400, "infinity": 400, "*": 200})
async def test_one_text_beyond_the_payload(town: Town, column: str, expected: int) -> None:
    async with town.gateway(column, COLUMNS[column].server()) as caller:
        reply = await caller.post(input=["a" * 2_000_001, "b"])

    assert expected == reply.status_code
    if expected == 400:
        assert "context_length_exceeded" == reply.json()["error"]["code"]


@row({"tei-1.9": "cut", "infinity": "cut", "openai": "whole", "*": "refused"})
async def test_text_too_long(town: Town, column: str, expected: str) -> None:
    """Refused is 400 with OpenAI's own code, once; a long text never fails as our own 5xx."""
    text = "word " * 600
    async with town.gateway(column, COLUMNS[column].server()) as caller:
        await caller.begin()
        if expected == "refused":
            with pytest.raises(openai.BadRequestError) as refused:
                await caller.embed(["short", text])
            assert "context_length_exceeded" == refused.value.code
            assert "false" == refused.value.response.headers["x-should-retry"]
            assert len(caller.server.seen) <= 2
            return
        seen = cut(text, 512) if expected == "cut" else text
        np.testing.assert_array_equal(
            await caller.embed(["short", text]), own(column, caller.server, ["short", seen])
        )


@row({"tei-1.8": 400, "tei-1.5": 400, "infinity": 400, "*": 200})
async def test_text_of_too_many_characters(town: Town, column: str, expected: int) -> None:
    async with town.gateway(column, COLUMNS[column].server()) as caller:
        reply = await caller.post(input=["a" * 130_000])

    assert expected == reply.status_code
    if expected == 400:
        assert "context_length_exceeded" == reply.json()["error"]["code"]
        assert "aaaa" not in reply.text


@EVERY
async def test_prompts(town: Town, column: str) -> None:
    """Put before the text by the gateway alone: no engine is asked for one of its own."""
    prompts = {"query": "search_query: ", "document": "search_document: "}
    async with town.gateway(column, COLUMNS[column].server(), prompts=prompts) as caller:
        for kind in ("query", "document"):
            expected = own(column, caller.server, [f"search_{kind}: {text}" for text in TEXTS])
            found = await caller.embed(TEXTS, extra_body={"input_type": kind})
            np.testing.assert_array_equal(found, expected)
        expected = own(column, caller.server, [f"search_document: {text}" for text in TEXTS])
        np.testing.assert_array_equal(await caller.embed(TEXTS), expected)


@EVERY
async def test_unknown_fields(town: Town, column: str) -> None:
    more = {"normalize": False, "truncate": True, "prompt_name": "query", "foo": {"bar": None}}
    async with town.gateway(column, COLUMNS[column].server()) as caller:
        await answered(caller, column, extra_body=more, user="somebody")


@EVERY
async def test_content_type_and_bad_json(town: Town, column: str) -> None:
    async with town.gateway(column, COLUMNS[column].server()) as caller:
        url = "/v1/embeddings"
        plain = await caller.http.post(url, content=b'{"model":"m","input":"a"}')
        broken = await caller.http.post(
            url, content=b'{"input":', headers={"content-type": "application/json"}
        )

    assert (415, 400) == (plain.status_code, broken.status_code)
    assert {"message", "type", "param", "code"} == set(broken.json()["error"])
    assert [] == caller.server.seen
