"""The guide's `score.py` with the real model, on OCI: what it cannot do, and who is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doubles.score_world import ScoreWorld
from embedway_client.credential import accepted
from embedway_gateway.web.app import create_app
from embedway_gateway.wire import WireTransport
from embedway_local import DEFAULT_MODEL
from embedway_upstream import (
    EmbeddingError,
    EmbeddingRequest,
    Endpoint,
    InputTooLong,
    InvalidRequest,
    Upstream,
    UpstreamRefused,
    UpstreamTimeout,
    WrongSpace,
)
from embedway_upstream.engines.onnx import Onnx
from embedway_upstream.platforms.oci import OCI
from langchain_embedway import EmbedwayEmbeddings
from llama_index.embeddings.embedway import EmbedwayEmbedding

# 510 words and two special tokens are the most.
TOO_LONG = "word " * 511
LOCAL = {"name": "local", "engine": "local", "model": DEFAULT_MODEL}


@pytest.fixture
def client(world: ScoreWorld) -> Iterator[openai.OpenAI]:
    """With its own retries, as users have it."""
    with openai.OpenAI(base_url=world.gateway, api_key="unused") as client:
        yield client


def test_without_pooling_nothing_is_served_and_the_cure_is_named(
    world: ScoreWorld, client: openai.OpenAI
) -> None:
    with pytest.raises(openai.APIStatusError, match="set `pooling:` of the upstream") as refused:
        client.embeddings.create(model="unset", input=["a", "b"])
    assert 502 == refused.value.status_code

    chain = EmbedwayEmbeddings(model="unset", base_url=world.gateway, max_retries=0)
    with pytest.raises(EmbeddingError, match="set `pooling:` of the upstream"):
        chain.embed_query("a")
    index = EmbedwayEmbedding("unset", base_url=world.gateway, max_retries=0)
    with pytest.raises(EmbeddingError, match="set `pooling:` of the upstream"):
        index.get_text_embedding_batch(["a", "b"])


@pytest.mark.parametrize("model", ["mean", "cls", "pooled"])
@pytest.mark.parametrize("around", [0, 3, 20])
def test_a_text_that_is_too_long_is_the_callers_mistake(
    world: ScoreWorld, client: openai.OpenAI, model: str, around: int
) -> None:
    # Of no other test: calls that one gave up may still arrive.
    name = f"{model} {around}"
    short, long = [f"{name} {index}" for index in range(around)], f"{name} {TOO_LONG}"
    texts = [*short, long, *short]

    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model=model, input=texts)

    assert "context_length_exceeded" == caught.value.code
    assert "longer than the upstream's model takes (512 tokens)" in caught.value.message
    inputs = (world.whole if model == "pooled" else world.tokens).inputs
    asked = [text for batch in inputs for text in batch if text in texts]
    assert 1 == asked.count(long), "asked once, and never again"
    assert len(asked) <= len(texts)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_directly_it_is_an_error_of_ours_after_one_call(world: ScoreWorld, pooling: str) -> None:
    chain = EmbedwayEmbeddings.direct(**world.direct(pooling))
    index = EmbedwayEmbedding.direct(**world.direct(pooling))

    with pytest.raises(InputTooLong, match="512 tokens"):
        chain.embed_documents([TOO_LONG])
    with pytest.raises(InputTooLong, match="512 tokens"):
        asyncio.run(chain.aembed_query(TOO_LONG))
    with pytest.raises(InputTooLong, match="512 tokens"):
        index.get_text_embedding(TOO_LONG)

    assert [[TOO_LONG]] * 3 == world.tokens.inputs


def test_texts_that_together_are_more_than_oci_takes_are_parted(
    world: ScoreWorld, client: openai.OpenAI
) -> None:
    halves = ["x" * 5_050_000, "y" * 5_050_000]

    client.embeddings.create(model="strict", input=halves)

    assert [halves[:1], halves[1:]] == sorted(world.strict.inputs)


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ({"input": "a"}, UpstreamRefused),
        ({"input": "a", "model": "m", "user": None}, UpstreamRefused),
        ({"input": "a", "model": "m", "encoding_format": "hex"}, UpstreamRefused),
        ({"input": [], "model": "m"}, InvalidRequest),
        ({"input": [1], "model": "m"}, InvalidRequest),
        ({"input": ["a", [1]], "model": "m"}, InvalidRequest),
        ({"input": ["a", TOO_LONG], "model": "m"}, InputTooLong),
    ],
)
def test_what_the_installed_libraries_say_is_understood(
    world: ScoreWorld, asked: dict[str, Any], kind: type[EmbeddingError]
) -> None:
    answer = httpx.post(f"{world.plain}/predict", json=asked)

    assert 500 == answer.status_code
    assert kind is type(Onnx().error(500, {}, answer.content))


def test_an_empty_text_never_gets_there(world: ScoreWorld, client: openai.OpenAI) -> None:
    for nothing in ("", [""], ["a", ""], []):
        with pytest.raises(openai.BadRequestError):
            client.embeddings.create(model="mean", input=nothing)

    assert [] == world.tokens.bodies


REQUESTS = st.fixed_dictionaries(
    {
        "input": st.text()
        | st.lists(st.text() | st.lists(st.integers(0, 9), max_size=3), max_size=70)
    },
    optional={
        "encoding_format": st.sampled_from([None, "float", "base64", "hex"]),
        "dimensions": st.sampled_from([None, 384, 10, 0]),
        "user": st.none() | st.text(max_size=3),
        "input_type": st.sampled_from(["query", "document"]),
        "other": st.none(),
    },
)


@given(REQUESTS)
@settings(max_examples=150, deadline=None)
def test_what_is_sent_there_always_passes_its_schema(
    score_world_served: ScoreWorld, asked: dict[str, Any]
) -> None:
    world = score_world_served
    world.reset()

    answer = httpx.post(f"{world.gateway}/embeddings", json={"model": "strict", **asked})

    assert answer.status_code in {200, 400}, answer.text
    assert (200 == answer.status_code) == bool(world.strict.bodies)
    assert all(len(inputs) <= 32 for inputs in world.strict.inputs)


async def test_a_mean_is_in_the_local_runtimes_space(world: ScoreWorld) -> None:
    upstreams = [world.upstream("tokens", pooling="mean"), LOCAL]
    # As long as score.py takes: the model itself would be cut at 256.
    app = create_app(world.config({"m": upstreams}, max_tokens=512))
    score = app.models["m"].upstreams[0]
    assert score.space is not None

    await score.space.prove()

    assert "" == score.space.problem
    for text in ("hello", "word " * 400):
        answers = [await post(app, [text]) for _ in range(4)]
        assert {"score", "local"} == {one.headers["x-embedway-upstream"] for one in answers}
        vectors = np.array([one.json()["data"][0]["embedding"] for one in answers])
        np.testing.assert_allclose(vectors, vectors[[0] * 4], rtol=0, atol=1e-5)
    await app.close()


async def test_the_wrong_pooling_never_answers(world: ScoreWorld) -> None:
    upstreams = [world.upstream("tokens", pooling="cls"), LOCAL]
    app = create_app(world.config({"m": upstreams}, max_tokens=512))
    score = app.models["m"].upstreams[0]
    assert score.space is not None

    with pytest.raises(WrongSpace, match="differ from those of 'local'"):
        await score.space.prove()
    answers = [await post(app, ["a secret of mine"]) for _ in range(4)]

    assert {"local"} == {one.headers["x-embedway-upstream"] for one in answers}
    assert ["a secret of mine"] not in world.tokens.inputs
    await app.close()


async def post(app: Any, texts: list[str]) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        answer = await client.post("/v1/embeddings", json={"model": "m", "input": texts})
    assert 200 == answer.status_code, answer.text
    return answer


async def test_the_platforms_minute_is_told_as_such(world: ScoreWorld) -> None:
    endpoint = Endpoint(
        name="score",
        engine=Onnx(pooling="mean"),
        platform=OCI(world.urls["tokens"]),
        credentials=accepted(world.direct("mean")["credentials"]),
        dimensions=384,
    )
    transport = WireTransport()
    upstream: Any = Upstream(endpoint, transport, clock=world.tokens.clock)
    world.tokens.takes = 59.0
    assert (1, 384) == (await upstream.send(EmbeddingRequest("m", ("a",)))).vectors.shape

    world.tokens.takes = 61.0
    with pytest.raises(UpstreamTimeout, match=r"all of the 60 seconds.*max_inputs"):
        await upstream.send(EmbeddingRequest("m", ("a",)))
    await transport.close()
