"""The real model behind the real gateway, through clients that we did not write."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import numpy as np
import openai
import pytest
from langchain_openai import OpenAIEmbeddings
from numpy.typing import NDArray

from doubles.gateway_process import GatewayProcess

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
REFERENCE = Path(__file__).parents[1] / "local_runtime" / "reference"


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Of the reference set; OpenAI's contract has no empty string."""
    return [text for text in json.loads((REFERENCE / "texts.json").read_text("utf-8")) if text]


@pytest.fixture(scope="module")
def expected() -> NDArray[np.float32]:
    everything = json.loads((REFERENCE / "texts.json").read_text("utf-8"))
    rows = [index for index, text in enumerate(everything) if text]
    vectors: NDArray[np.float32] = np.load(REFERENCE / "vectors.npy")[rows]
    return vectors


@pytest.fixture
def client(gateway: GatewayProcess) -> openai.OpenAI:
    return openai.OpenAI(base_url=gateway.base_url, api_key="unused", max_retries=0)


@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_the_openai_client_gets_the_references_vectors(
    client: openai.OpenAI,
    texts: list[str],
    expected: NDArray[np.float32],
    encoding: str | None,
) -> None:
    if encoding is None:
        answer = client.embeddings.create(model="minilm", input=texts)
    else:
        answer = client.embeddings.create(
            model="minilm",
            input=texts,
            encoding_format=encoding,  # type: ignore[arg-type]
        )
    rows = [item.embedding for item in answer.data]
    if isinstance(rows[0], str):
        import base64

        rows = [np.frombuffer(base64.b64decode(row), "<f4") for row in rows]  # type: ignore[misc]

    assert "minilm" == answer.model
    assert answer.usage.total_tokens > len(texts)
    np.testing.assert_allclose(np.array(rows), expected, rtol=0, atol=1e-5)


def test_many_callers_at_once_get_their_own_vectors(
    gateway: GatewayProcess, texts: list[str], expected: NDArray[np.float32]
) -> None:
    async def ask(client: openai.AsyncOpenAI, index: int) -> list[float]:
        answer = await client.embeddings.create(model=MODEL, input=texts[index])
        return answer.data[0].embedding

    async def everything() -> list[list[float]]:
        async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key="x") as client:
            return await asyncio.gather(*(ask(client, index) for index in range(len(texts))))

    np.testing.assert_allclose(np.array(asyncio.run(everything())), expected, rtol=0, atol=1e-5)


def test_langchains_own_class_works_once_it_sends_text(
    gateway: GatewayProcess, texts: list[str], expected: NDArray[np.float32]
) -> None:
    embeddings = OpenAIEmbeddings(
        model="minilm",
        base_url=gateway.base_url,
        api_key="x",  # type: ignore[arg-type]
        check_embedding_ctx_length=False,
    )

    rows = embeddings.embed_documents(texts)

    np.testing.assert_allclose(np.array(rows), expected, rtol=0, atol=1e-5)


def test_token_ids_are_refused_with_the_cure(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False"):
        client.embeddings.create(model="minilm", input=[[101, 7592, 102]])


def test_errors_are_the_clients_own_types(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="Known models") as missing:
        client.embeddings.create(model="nothing", input="a")
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model="minilm", input="a", dimensions=100)

    assert "model_not_found" == missing.value.code
    assert "dimensions" == refused.value.param


def test_the_model_list_tells_what_a_client_wants_to_know(
    client: openai.OpenAI, gateway: GatewayProcess
) -> None:
    [model] = client.models.list().data
    facts = model.model_dump()

    assert MODEL == model.id
    assert (384, 256, ["embed"]) == (
        facts["dimensions"],
        facts["max_tokens"],
        facts["capabilities"],
    )
    assert facts["vector_space"].startswith("vs1-")
    assert MODEL == client.models.retrieve("minilm").id
    assert gateway.get("/openapi.json")[0] == 200


def test_texts_that_were_cut_are_counted(client: openai.OpenAI, gateway: GatewayProcess) -> None:
    def cut() -> float:
        lines = gateway.get("/metrics")[1].decode().splitlines()
        name = "embedway_truncated_texts_total{"
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    before = cut()
    client.embeddings.create(model="minilm", input=["word " * 200_000, "short"])

    assert 1 == cut() - before


def test_the_largest_request_is_answered_in_order(client: openai.OpenAI) -> None:
    texts = [f"number {index}" for index in range(2048)]

    answer = client.embeddings.create(model="minilm", input=texts)
    alone = client.embeddings.create(model="minilm", input=texts[1234])

    assert list(range(2048)) == [item.index for item in answer.data]
    np.testing.assert_allclose(
        np.array(answer.data[1234].embedding), np.array(alone.data[0].embedding), atol=1e-6
    )


def test_a_caller_that_goes_away_disturbs_nobody(
    client: openai.OpenAI, gateway: GatewayProcess
) -> None:
    impatient = openai.OpenAI(base_url=gateway.base_url, api_key="x", timeout=0.05, max_retries=0)

    # Each of its own, because texts that are the same are computed once.
    long = [f"{number} " + "some words " * 100 for number in range(500)]

    def leave() -> None:
        with pytest.raises(openai.APITimeoutError):
            impatient.embeddings.create(model="minilm", input=long)

    threads = [threading.Thread(target=leave) for _ in range(3)]
    for thread in threads:
        thread.start()
    answer = client.embeddings.create(model="minilm", input="hello")
    for thread in threads:
        thread.join()

    assert 384 == len(answer.data[0].embedding)
    assert 200 == gateway.get("/readyz")[0]
