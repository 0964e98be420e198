"""Clients that were written for text-embeddings-inference, pointed at the gateway."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from doubles.openai_upstream import OpenAIUpstream
from doubles.rerank_upstream import RerankUpstream, relevance
from doubles.serving import served
from embedway_gateway.config.schema import Config
from embedway_gateway.web.app import create_app
from embedway_upstream.testing import fake_vectors

TEXTS = ["one", "two", "three"]
NAMES = ("m1", "m2")


@pytest.fixture(scope="module")
def root() -> Iterator[str]:
    """A gateway on loopback: two models that embed, and one that reranks."""
    with served(OpenAIUpstream()) as embedder, served(RerankUpstream(tei=True)) as ranker:
        upstreams = [{"name": "up", "engine": "openai", "url": embedder}]
        ranking = [{"name": "up", "engine": "tei", "url": ranker}]
        models = [
            *({"name": name, "dimensions": 8, "upstreams": upstreams} for name in NAMES),
            {"name": "ranker", "capabilities": ["rerank"], "upstreams": ranking},
        ]
        with served(create_app(Config.model_validate({"models": models}))) as url:
            yield url


@pytest.mark.parametrize("options", [{}, {"truncate": True, "normalize": True}])
def test_hugging_faces_client_embeds(root: str, options: dict[str, bool]) -> None:
    client = InferenceClient(model=f"{root}/embed?model=m1")

    many = client.feature_extraction(TEXTS, **options)  # type: ignore[arg-type]
    one = client.feature_extraction(TEXTS[0], **options)  # type: ignore[arg-type]

    np.testing.assert_array_equal(fake_vectors(TEXTS, 8), many)
    np.testing.assert_array_equal(fake_vectors(TEXTS[:1], 8), one)


async def test_hugging_faces_async_client_embeds(root: str) -> None:
    async with AsyncInferenceClient(model=f"{root}/embed?model=m2") as client:
        vectors = await client.feature_extraction(TEXTS, prompt_name="document")

    np.testing.assert_array_equal(fake_vectors(TEXTS, 8), vectors)


def test_hugging_faces_client_raises_our_errors(root: str) -> None:
    client = InferenceClient(model=f"{root}/embed")

    with pytest.raises(HfHubHTTPError, match="Several models can embed: m1, m2"):
        client.feature_extraction(TEXTS)


def test_the_request_of_llama_indexs_class_is_answered(root: str) -> None:
    """As llama-index-embeddings-text-embeddings-inference 0.6.0 sends it, `endpoint=` given."""
    endpoint = "/embed?model=m1"
    with httpx.Client() as client:
        response = client.post(
            f"{root}{endpoint}",
            headers={"Content-Type": "application/json", "Authorization": "Bearer token"},
            json={"inputs": TEXTS, "truncate": True},
        )

    np.testing.assert_array_equal(fake_vectors(TEXTS, 8), np.array(response.json(), np.float32))


def test_the_request_of_llama_indexs_reranker_is_answered(root: str) -> None:
    """As llama-index-postprocessor-tei-rerank sends it."""
    with httpx.Client() as client:
        response = client.post(
            f"{root}/rerank",
            headers={"Content-Type": "application/json"},
            json={"query": "q", "texts": TEXTS},
        )

    scores = {item["index"]: item["score"] for item in response.json()}
    assert {index: relevance("q", text) for index, text in enumerate(TEXTS)} == scores
