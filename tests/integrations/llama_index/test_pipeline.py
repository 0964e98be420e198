"""Ingestion: with the framework's cache, and with worker processes."""

from __future__ import annotations

import logging
import pickle
import threading

import numpy as np
import pytest
from llama_index.core.callbacks import CallbackManager
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.ingestion.pipeline import get_transformation_hash
from llama_index.core.schema import TextNode
from llama_index.core.storage.kvstore import SimpleKVStore

from embedway_client import VectorSpaceChanged
from embedway_upstream.testing import fake_vectors
from llama_index.embeddings.embedway import EmbedwayEmbedding, TokenUsage

KEY = "sk-very-secret"
TEXTS = [f"text {number}" for number in range(10)]
SPACE = "x-embedway-vector-space"


def nodes():
    return [TextNode(text=text, id_=text) for text in TEXTS]


def require_right(done):
    assert [node.text for node in done] == TEXTS
    assert np.array_equal(np.float32([node.embedding for node in done]), fake_vectors(TEXTS, 8))


async def test_the_cache_of_a_pipeline_serves_the_second_run(server):
    pipeline = IngestionPipeline(
        transformations=[EmbedwayEmbedding("m", base_url=server.url, api_key=KEY)],
        cache=IngestionCache(),
    )
    require_right(pipeline.run(nodes=nodes()))
    require_right(pipeline.run(nodes=nodes()))
    require_right(await pipeline.arun(nodes=nodes()))

    assert server.requests == 1
    assert KEY not in repr(pipeline.cache.cache.get_all(pipeline.cache.collection))


@pytest.mark.parametrize(
    "other",
    [
        {"model": "n"},
        {"dimensions": 4},
        {"base_url": "http://127.0.0.1:9/v1"},
        {"document_prompt": "d: "},
        {"vector_space": "vs1-b"},
        {"precision": "auto"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_pipeline_tells_apart_what_gives_other_vectors(other):
    own = {"model": "m", "base_url": "http://127.0.0.1:8/v1"}
    hashes = {
        get_transformation_hash(nodes(), EmbedwayEmbedding(**{**own, **options}))
        for options in ({}, {"api_key": KEY, "embeddings_cache": SimpleKVStore()}, other)
    }

    assert len(hashes) == 2


def test_worker_processes_embed(server):
    """They are given the object pickled, with its key and the space that it has learned."""
    server.headers[SPACE] = "vs1-a"
    model = EmbedwayEmbedding(
        "m", base_url=server.url, api_key=KEY, callback_manager=CallbackManager([Stuck()])
    )
    model.get_text_embedding("learn")
    pipeline = IngestionPipeline(transformations=[model], cache=IngestionCache())
    require_right(pipeline.run(nodes=nodes(), num_workers=2))
    asked = server.requests
    require_right(pipeline.run(nodes=nodes(), num_workers=2))

    assert asked == 3
    assert server.requests == asked
    assert {headers["authorization"] for _, headers in server.asked} == {f"Bearer {KEY}"}


class Stuck(TokenUsage):
    """As handlers are that hold a connection or a lock."""

    def __init__(self):
        super().__init__(tokenizer=list)
        self.lock = threading.Lock()


def test_a_pickled_copy_knows_the_space_and_leaves_behind_what_cannot_travel(server, caplog):
    server.headers[SPACE] = "vs1-a"
    model = EmbedwayEmbedding(
        "m",
        base_url=server.url,
        callback_manager=CallbackManager([Stuck()]),
        embeddings_cache=SimpleKVStore(),
        num_workers=7,
    )
    model.get_text_embedding("learn")
    with caplog.at_level(logging.WARNING):
        twin = pickle.loads(pickle.dumps(model))

    assert "callback_manager cannot be pickled" in caplog.text
    assert "embeddings_cache" not in caplog.text
    assert (twin.pinned_vector_space, twin.num_workers) == ("vs1-a", 7)
    assert twin.get_text_embedding("learn") == model.get_text_embedding("learn")
    assert server.requests == 1
    server.headers[SPACE] = "vs1-b"
    with pytest.raises(VectorSpaceChanged):
        twin.get_text_embedding("another")
