"""The real infinity behind the real gateway: the reference's vectors, whoever asks for them."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from langchain_openai import OpenAIEmbeddings

from doubles.infinity_gateway import InfinityGateway, infinity_gateway
from doubles.infinity_process import KEY, OTHER, SERVED, InfinityProcess
from embedway_local import DEFAULT_MODEL, LocalEmbedder
from embedway_upstream import UpstreamRefused
from langchain_embedway import EmbedwayEmbeddings
from llama_index.embeddings.embedway import EmbedwayEmbedding

REFERENCE = Path(__file__).parents[1] / "local_runtime" / "reference"
# Both are fp32; 2.5e-7 was measured.
CLOSE = {"rtol": 0, "atol": 1e-5}

Ask = Callable[[list[str]], Any]


@pytest.fixture(scope="module")
def gateway(infinity: InfinityProcess) -> Iterator[InfinityGateway]:
    with infinity_gateway(infinity) as running:
        yield running


def _kept() -> list[int]:
    """OpenAI's contract has no empty string."""
    return [index for index, text in enumerate(_every()) if text]


def _every() -> list[str]:
    every: list[str] = json.loads((REFERENCE / "texts.json").read_text("utf-8"))
    return every


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [_every()[index] for index in _kept()]


@pytest.fixture(scope="module")
def expected() -> Any:
    """By sentence-transformers itself."""
    return np.load(REFERENCE / "vectors.npy")[_kept()]


@pytest.mark.parametrize("encoding", ["float", "base64"])
@pytest.mark.parametrize("model", ["plain", "prefixed"])
def test_the_openai_client_gets_the_references_vectors(
    gateway: InfinityGateway, texts: list[str], expected: Any, model: str, encoding: Any
) -> None:
    client = openai.OpenAI(base_url=gateway.base_url, api_key="unused", max_retries=0)

    answer = client.embeddings.create(model=model, input=texts, encoding_format=encoding)
    rows: list[Any] = [item.embedding for item in answer.data]
    if encoding == "base64":
        rows = [np.frombuffer(base64.b64decode(row), "<f4") for row in rows]

    np.testing.assert_allclose(np.array(rows), expected, **CLOSE)
    assert model == answer.model
    # What infinity tells are characters; ours is an estimate from them.
    assert 0 < answer.usage.total_tokens < sum(map(len, texts)) / 2


def test_the_local_runtime_gives_the_same(gateway: InfinityGateway, texts: list[str]) -> None:
    """Long texts are among them: both cut at 256 tokens, without a word."""
    theirs = gateway.post("/embeddings", model="plain", input=texts).json()["data"]
    with LocalEmbedder(DEFAULT_MODEL) as local:
        ours = local.embed(texts)

    np.testing.assert_allclose([item["embedding"] for item in theirs], ours, **CLOSE)


def test_the_most_texts_that_infinity_takes_come_back_in_order(gateway: InfinityGateway) -> None:
    texts = [f"number {index}" for index in range(2048)]

    answer = gateway.post("/embeddings", model="plain", input=texts).json()["data"]
    alone = gateway.post("/embeddings", model="plain", input=texts[1234]).json()["data"]

    assert list(range(2048)) == [item["index"] for item in answer]
    np.testing.assert_allclose(answer[1234]["embedding"], alone[0]["embedding"], **CLOSE)


def _langchain_openai(infinity: InfinityProcess, url: str) -> Ask:
    return OpenAIEmbeddings(
        model="prefixed",
        base_url=url,
        api_key="x",  # type: ignore[arg-type]
        check_embedding_ctx_length=False,
    ).embed_documents


def _langchain_async(infinity: InfinityProcess, url: str) -> Ask:
    model = EmbedwayEmbeddings(model="plain", base_url=url)
    return lambda texts: asyncio.run(model.aembed_documents(texts))


def _direct(infinity: InfinityProcess, url: str) -> Ask:
    return EmbedwayEmbeddings.direct(
        model=SERVED, url=infinity.plain, engine="infinity"
    ).embed_documents


def _direct_with_key(infinity: InfinityProcess, url: str) -> Ask:
    return EmbedwayEmbeddings.direct(
        model="minilm",
        served_model=SERVED,
        url=infinity.keyed,
        engine="infinity",
        credentials=KEY,
        dimensions=384,
    ).embed_documents


FACES: dict[str, Callable[[InfinityProcess, str], Ask]] = {
    "langchain": lambda _, url: EmbedwayEmbeddings(model="plain", base_url=url).embed_documents,
    "langchain, async": _langchain_async,
    "langchain, direct": _direct,
    "langchain, direct with a key": _direct_with_key,
    "langchain-openai": _langchain_openai,
    "llama-index": lambda _, url: (
        EmbedwayEmbedding("prefixed", base_url=url).get_text_embedding_batch
    ),
    "llama-index, direct": lambda infinity, _: (
        EmbedwayEmbedding.direct(
            model=SERVED, url=infinity.plain, engine="infinity"
        ).get_text_embedding_batch
    ),
}


@pytest.mark.parametrize("face", FACES)
def test_every_class_gets_the_references_vectors(
    infinity: InfinityProcess, gateway: InfinityGateway, texts: list[str], expected: Any, face: str
) -> None:
    ask = FACES[face](infinity, gateway.base_url)

    np.testing.assert_allclose(np.array(ask(texts)), expected, **CLOSE)


def test_a_class_without_the_key_is_told_so(infinity: InfinityProcess) -> None:
    model = EmbedwayEmbeddings.direct(model=SERVED, url=infinity.keyed, engine="infinity")

    with pytest.raises(UpstreamRefused, match="credentials"):
        model.embed_query("my secret diary")


def test_it_serves_beside_the_local_runtime_once_its_vectors_match(
    gateway: InfinityGateway, texts: list[str], expected: Any
) -> None:
    model = "beside the local runtime"
    gateway.wait_compared()

    def ask(number: int) -> httpx.Response:
        own = f"{number} of {model}"
        return gateway.post("/embeddings", model=model, input=[*texts[:20], own])

    # Requests go where it is faster, so that the slower one is only asked when many are under way;
    # how long it took at first is forgotten in time.
    answers, seen, end = [], set(), time.monotonic() + 60
    with ThreadPoolExecutor(16) as threads:
        while seen != {"local", "infinity"} and time.monotonic() < end:
            for answer in threads.map(ask, range(len(answers), len(answers) + 32)):
                answers.append(answer)
                seen.add(answer.headers["x-embedway-upstream"])

    assert "" == gateway.problem(model, "infinity")
    assert {"local", "infinity"} == seen
    for answer in answers:
        rows = [item["embedding"] for item in answer.json()["data"]]
        np.testing.assert_allclose(rows[:20], expected[:20], **CLOSE)
    assert not {model, "plain"} & gateway.get("/readyz").json()["problems"].keys()


def test_another_vector_space_never_serves(
    infinity: InfinityProcess, gateway: InfinityGateway, texts: list[str], expected: Any
) -> None:
    model = "another beside the local runtime"
    gateway.wait_compared()

    answers = [gateway.post("/embeddings", model=model, input=texts[:20]) for _ in range(12)]

    assert "its vectors differ from those of 'local'" in gateway.problem(model, "infinity")
    assert {"local"} == {answer.headers["x-embedway-upstream"] for answer in answers}
    for answer in answers:
        rows = [item["embedding"] for item in answer.json()["data"]]
        np.testing.assert_allclose(rows, expected[:20], **CLOSE)
    # It would have answered.
    other = EmbedwayEmbeddings.direct(
        model=OTHER, url=infinity.keyed, engine="infinity", credentials=KEY
    )
    assert 384 == len(other.embed_query("a"))
