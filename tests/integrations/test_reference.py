"""Vectors equal sentence-transformers' own, whichever class asks and whatever answers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

from embedway_client import Client
from langchain_embedway import EmbedwayEmbeddings
from llama_index.embeddings.embedway import EmbedwayEmbedding

REFERENCE = Path(__file__).parents[1] / "local_runtime" / "reference"
TOLERANCE = 1e-5


def _reference():
    # Without the empty text: the gateway refuses it, as OpenAI does.
    texts = json.loads((REFERENCE / "texts.json").read_text("utf-8"))
    kept = [index for index, text in enumerate(texts) if text]
    return [texts[index] for index in kept], np.load(REFERENCE / "vectors.npy")[kept]


@pytest.fixture(scope="module")
def texts():
    return _reference()[0]


@pytest.fixture(scope="module")
def vectors():
    return _reference()[1]


@pytest.fixture(params=["local", "gateway"])
def base_url(request, model_in_store):
    return "local" if request.param == "local" else request.getfixturevalue("gateway").base_url


def test_through_the_client(model_in_store, base_url, texts, vectors):
    with Client(model_in_store, base_url=base_url, batch_size=16) as client:
        np.testing.assert_allclose(client.embed(texts), vectors, rtol=0, atol=TOLERANCE)
        found = asyncio.run(client.aembed(texts))
    np.testing.assert_allclose(found, vectors, rtol=0, atol=TOLERANCE)


def test_through_langchain(model_in_store, base_url, texts, vectors):
    model = EmbedwayEmbeddings(model=model_in_store, base_url=base_url)
    np.testing.assert_allclose(model.embed_documents(texts), vectors, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(
        asyncio.run(model.aembed_documents(texts)), vectors, rtol=0, atol=TOLERANCE
    )
    np.testing.assert_allclose(model.embed_query(texts[0]), vectors[0], rtol=0, atol=TOLERANCE)


def test_through_llama_index(model_in_store, base_url, texts, vectors):
    model = EmbedwayEmbedding(model_in_store, base_url=base_url)
    found = model.get_text_embedding_batch(texts)
    np.testing.assert_allclose(found, vectors, rtol=0, atol=TOLERANCE)
    found = asyncio.run(model.aget_text_embedding_batch(texts))
    np.testing.assert_allclose(found, vectors, rtol=0, atol=TOLERANCE)
    query = model.get_query_embedding(texts[0])
    np.testing.assert_allclose(query, vectors[0], rtol=0, atol=TOLERANCE)
