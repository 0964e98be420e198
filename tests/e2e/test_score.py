"""The guide's `score.py` with the real model, on OCI: right vectors, whoever asks for them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

from doubles.score_world import ScoreWorld
from embedway_local import DEFAULT_MODEL, LocalEmbedder
from langchain_embedway import EmbedwayEmbeddings
from llama_index.embeddings.embedway import EmbedwayEmbedding

REFERENCE = Path(__file__).parents[1] / "local_runtime" / "reference"
CLOSE = {"rtol": 0, "atol": 1e-5}
# 510 words and two special tokens are the most; sentence-transformers cuts at 256.
FULL = "word " * 510
CUT = 256

Ask = Callable[[str, list[str]], Any]


def unit(vectors: Any) -> Any:
    return np.array([vector / np.linalg.norm(vector) for vector in vectors])


def by_tokens(world: ScoreWorld, at_least: int, at_most: int) -> list[int]:
    """Which of the reference's texts have so many tokens."""
    texts = json.loads((REFERENCE / "texts.json").read_text("utf-8"))
    sizes = [world.score.tokenise([text])["input_ids"].shape[1] for text in texts]
    return [
        index for index, size in enumerate(sizes) if at_least <= size <= at_most and texts[index]
    ]


@pytest.fixture(scope="module")
def texts(score_world_served: ScoreWorld) -> list[str]:
    """The reference's that sentence-transformers embeds whole."""
    every = json.loads((REFERENCE / "texts.json").read_text("utf-8"))
    return [every[index] for index in by_tokens(score_world_served, 1, CUT)]


@pytest.fixture(scope="module")
def expected(score_world_served: ScoreWorld) -> Any:
    return np.load(REFERENCE / "vectors.npy")[by_tokens(score_world_served, 1, CUT)]


def through_openai(world: ScoreWorld) -> Ask:
    def ask(model: str, texts: list[str]) -> Any:
        with openai.OpenAI(base_url=world.gateway, api_key="unused") as client:
            answer = client.embeddings.create(model=model, input=texts)
        return [item.embedding for item in answer.data]

    return ask


def through_langchain(world: ScoreWorld) -> Ask:
    return lambda model, texts: EmbedwayEmbeddings(
        model=model, base_url=world.gateway
    ).embed_documents(texts)


def through_llama_index(world: ScoreWorld) -> Ask:
    return lambda model, texts: EmbedwayEmbedding(
        model, base_url=world.gateway
    ).get_text_embedding_batch(texts)


def directly_langchain(world: ScoreWorld) -> Ask:
    return lambda model, texts: EmbedwayEmbeddings.direct(**world.direct(model)).embed_documents(
        texts
    )


def directly_langchain_async(world: ScoreWorld) -> Ask:
    return lambda model, texts: asyncio.run(
        EmbedwayEmbeddings.direct(**world.direct(model)).aembed_documents(texts)
    )


def directly_llama_index(world: ScoreWorld) -> Ask:
    return lambda model, texts: EmbedwayEmbedding.direct(
        **world.direct(model)
    ).get_text_embedding_batch(texts)


every_way = pytest.mark.parametrize(
    "way",
    [
        through_openai,
        through_langchain,
        through_llama_index,
        directly_langchain,
        directly_langchain_async,
        directly_llama_index,
    ],
)


def test_the_double_is_the_local_runtimes_model(world: ScoreWorld, texts: list[str]) -> None:
    with LocalEmbedder(DEFAULT_MODEL) as local:
        wanted = local.embed(texts)

    np.testing.assert_allclose(
        unit([rows.mean(axis=0) for rows in world.alone(texts)]), wanted, **CLOSE
    )


def test_the_doubles_replies_are_as_long_as_their_longest_text(world: ScoreWorld) -> None:
    def shapes(texts: list[str]) -> list[tuple[int, ...]]:
        data = world.score.predict({"input": texts, "model": "m"})
        assert "m" == data["model"]
        return [np.shape(item["embedding"]) for item in data["data"]]

    assert [(3, 384)] == shapes(["hello"])
    assert [(7, 384), (7, 384)] == shapes(["hello", "one two three four five"])
    usage = world.score.predict({"input": ["a", "b c d e f"], "model": "m"})["usage"]
    assert {"prompt_tokens": 10, "total_tokens": 10} == usage, "without the padding"


@every_way
def test_the_mean_is_the_references_vector(
    world: ScoreWorld, texts: list[str], expected: Any, way: Any
) -> None:
    ask = way(world)

    np.testing.assert_allclose(ask("mean", texts), expected, **CLOSE)
    assert sorted([text] for text in texts) == sorted(world.tokens.inputs), "one text a call"
    np.testing.assert_allclose(ask("mean", texts[:1]), expected[:1], **CLOSE)
    assert {"ok": len(texts) + 1} == dict(world.platforms["tokens"].verdicts), "each call signed"


def test_texts_that_sentence_transformers_would_cut_are_embedded_whole(world: ScoreWorld) -> None:
    every = json.loads((REFERENCE / "texts.json").read_text("utf-8"))
    long = [every[index] for index in by_tokens(world, CUT + 1, 512)] + [FULL]
    with LocalEmbedder(DEFAULT_MODEL, max_tokens=512) as local:
        wanted = local.embed(long)

    np.testing.assert_allclose(through_openai(world)("mean", long), wanted, **CLOSE)


@every_way
def test_the_first_token_is_taken_of_batches(world: ScoreWorld, texts: list[str], way: Any) -> None:
    found = way(world)("cls", texts)

    np.testing.assert_allclose(found, unit([rows[0] for rows in world.alone(texts)]), **CLOSE)
    assert -(-len(texts) // 4) == len(world.tokens.inputs)
    assert sorted(texts) == sorted(text for batch in world.tokens.inputs for text in batch)


def test_what_comes_pooled_is_served_as_it_is(world: ScoreWorld, texts: list[str]) -> None:
    found = through_openai(world)("pooled", texts)

    wanted = np.array([rows.mean(axis=0) for rows in world.alone(texts)])
    assert not np.allclose(np.linalg.norm(wanted, axis=1), 1, atol=0.1), "as it is: not of length 1"
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)
    assert [32, len(texts) - 32] == sorted(map(len, world.whole.inputs), reverse=True)


def test_long_replies_come_in_pieces(world: ScoreWorld) -> None:
    texts = [f"{index} {FULL[5:]}" for index in range(8)]

    found = through_openai(world)("cls", texts)

    np.testing.assert_allclose(found, unit([rows[0] for rows in world.alone(texts)]), **CLOSE)
    assert [4, 4] == [len(batch) for batch in world.tokens.inputs]
    assert max(world.tokens.sizes) < 20_000_000 < sum(world.tokens.sizes)
