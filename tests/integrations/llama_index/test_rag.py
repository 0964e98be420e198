"""Retrieval as users build it, through a real gateway and with real models, finds what is right."""

from __future__ import annotations

import asyncio
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from llama_index.core import MockEmbedding, Settings, VectorStoreIndex
from llama_index.core.llms import MockLLM
from llama_index.core.schema import TextNode
from llama_index.core.storage.kvstore import SimpleKVStore

from doubles.gateway_process import running_gateway
from embedway_local import LocalReranker
from embedway_local.retrieval_set import shipped_set
from llama_index.embeddings.embedway import EmbedwayEmbedding
from llama_index.postprocessor.embedway import EmbedwayRerank

RERANKER = Path(__file__).parents[2] / "local_runtime" / "reference" / "rerankers" / "bert"
CONFIG = """
models:
  - name: {model}
    aliases: [minilm]
    dimensions: 384
    upstreams: [{{name: here, engine: local}}]
  - name: reranker
    capabilities: [rerank]
    upstreams: [{{name: there, engine: local, model: {reranker}}}]
"""


@pytest.fixture(scope="module")
def base_url(model_in_store, tmp_path_factory):
    config = tmp_path_factory.mktemp("gateway") / "embedway.yaml"
    config.write_text(CONFIG.format(model=model_in_store, reranker=RERANKER), "utf-8")
    with running_gateway("--config", str(config)) as gateway:
        gateway.wait_ready()
        yield gateway.base_url


@pytest.fixture(scope="module")
def passages():
    return shipped_set()


@pytest.fixture(scope="module")
def index(base_url, passages):
    nodes = [TextNode(text=text, id_=name) for name, text in passages.corpus.items()]
    model = EmbedwayEmbedding("minilm", base_url=base_url, embed_batch_size=64)
    # In a thread of its own: in the first one, LlamaIndex would open an event loop and leave it so.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(VectorStoreIndex, nodes, embed_model=model, use_async=True).result()


def ndcg(found, judged):
    """At 10, of one query: the gains as trec_eval and BEIR count them."""

    def gain(scores):
        return sum(score / math.log2(place + 2) for place, score in enumerate(scores[:10]))

    got = gain([judged.get(node.node.node_id, 0) for node in found])
    return got / gain(sorted(judged.values(), reverse=True))


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_retriever_finds_the_right_passages(index, passages, way):
    """All queries reach the 0.942 of exact search over the local runtime's vectors."""
    retriever = index.as_retriever(similarity_top_k=10)
    scores = []
    for name, text in list(passages.queries.items())[:: 1 if way == "sync" else 4]:
        if way == "sync":
            found = retriever.retrieve(text)
        else:
            found = asyncio.run(retriever.aretrieve(text))
        scores.append(ndcg(found, passages.judgements[name]))

    if way == "sync":
        assert np.mean(scores) == pytest.approx(0.942, abs=0.002)
    assert np.mean(scores) > 0.85


async def test_a_query_engine_retrieves_reranks_and_answers(base_url, index, passages):
    reranker = EmbedwayRerank("reranker", base_url=base_url, top_n=4, keep_retrieval_score=True)
    engine = index.as_query_engine(
        llm=MockLLM(), similarity_top_k=12, node_postprocessors=[reranker]
    )
    question = next(iter(passages.queries.values()))
    answer = engine.query(question)
    retrieved = index.as_retriever(similarity_top_k=12).retrieve(question)
    with LocalReranker(str(RERANKER)) as local:
        scores = local.score(question, [node.text for node in retrieved]).scores
    best = np.argsort(-scores, kind="stable")[:4]

    assert [node.node_id for node in answer.source_nodes] == [retrieved[i].node_id for i in best]
    assert [node.score for node in answer.source_nodes] == pytest.approx(scores[best].tolist())
    assert [node.metadata["retrieval_score"] for node in answer.source_nodes] == pytest.approx(
        [retrieved[i].score for i in best]
    )
    assert passages.corpus[answer.source_nodes[0].node_id] in answer.response
    again = await engine.aquery(question)
    assert [node.node_id for node in again.source_nodes] == [
        node.node_id for node in answer.source_nodes
    ]


def test_the_gateway_tells_the_space_under_which_vectors_are_cached(base_url):
    store = SimpleKVStore()
    far = EmbedwayEmbedding("minilm", base_url=base_url, embeddings_cache=store)
    vectors = far.get_text_embedding_batch(["a cat", "a dog"])
    near = EmbedwayEmbedding("minilm", base_url="local", embeddings_cache=store)
    near.get_text_embedding("learn the space")

    assert far.pinned_vector_space == near.pinned_vector_space
    near._client.encode = None
    assert near.get_text_embedding_batch(["a dog", "a cat"]) == vectors[::-1]


def test_it_is_the_embedding_of_settings(base_url):
    before = Settings._embed_model
    try:
        Settings.embed_model = EmbedwayEmbedding("minilm", base_url=base_url)
        index = VectorStoreIndex([TextNode(text="The Danube flows to the Black Sea.")])
        found = index.as_retriever().retrieve("river")
    finally:
        Settings._embed_model = before or MockEmbedding(embed_dim=8)

    assert found[0].score > 0.2
