"""EmbedwayEmbedding: what is LlamaIndex's own, over the client that has its tests elsewhere."""

from __future__ import annotations

import asyncio
import copy
import importlib.util
import json
import pickle

import numpy as np
import pytest
from llama_index.core import Document, StorageContext, VectorStoreIndex, load_index_from_storage
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.callbacks import CallbackManager
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import TextNode
from llama_index.core.storage.kvstore import SimpleKVStore
from pydantic import SecretStr, ValidationError

from embedway_upstream.testing import fake_vectors
from llama_index.embeddings.embedway import EmbedwayEmbedding

KEY = "sk-very-secret"
TEXTS = [f"text {number}" for number in range(10)]


def test_is_an_embedding_of_llama_index():
    model = EmbedwayEmbedding("minilm")

    assert isinstance(model, BaseEmbedding)
    assert model.class_name() == "EmbedwayEmbedding"
    assert model.model_name == model.model == EmbedwayEmbedding(model="minilm").model_name


def test_leaves_the_namespace_to_llama_index():
    """An __init__.py in llama_index/ or llama_index/embeddings/ would hide its other packages."""
    for name in ("llama_index", "llama_index.embeddings"):
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is None


def test_texts_and_queries_are_told_apart(server):
    model = EmbedwayEmbedding("m", base_url=server.url)
    query = model.get_query_embedding("q")
    text = model.get_text_embedding("t")
    batch = model.get_text_embedding_batch(TEXTS)

    assert [body["input_type"] for body in server.bodies] == ["query", "document", "document"]
    assert np.array_equal(np.float32([query, text]), fake_vectors(["q", "t"], 8))
    assert np.array_equal(np.float32(batch), fake_vectors(TEXTS, 8))
    assert {type(number) for number in query} == {float}


async def test_async_is_native_and_the_same(server):
    model = EmbedwayEmbedding("m", base_url=server.url)

    assert await model.aget_query_embedding("q") == model.get_query_embedding("q")
    assert await model.aget_text_embedding("t") == model.get_text_embedding("t")
    assert await model.aget_text_embedding_batch(TEXTS) == model.get_text_embedding_batch(TEXTS)
    assert len(server.connections) == 2
    assert [body["input_type"] for body in server.bodies[:3]] == ["query", "query", "document"]


def test_batches_are_large_by_default_and_one_setting_under_two_names(server):
    assert EmbedwayEmbedding("m").embed_batch_size == 256
    assert EmbedwayEmbedding("m", batch_size=3).embed_batch_size == 3
    model = EmbedwayEmbedding("m", base_url=server.url, embed_batch_size=4)
    vectors = model.get_text_embedding_batch(TEXTS)

    assert [len(body["input"]) for body in server.bodies] == [4, 4, 2]
    assert np.array_equal(np.float32(vectors), fake_vectors(TEXTS, 8))


async def test_a_large_batch_runs_four_requests_at_once(server):
    """The framework's own default would start them all."""
    server.vectors.delay = 0.03
    model = EmbedwayEmbedding("m", base_url=server.url, batch_size=1)
    await model.aget_text_embedding_batch(TEXTS)

    assert server.vectors.most_running == 4


def test_no_texts_need_no_request(server):
    model = EmbedwayEmbedding("m", base_url=server.url)

    assert model.get_text_embedding_batch([]) == []
    assert asyncio.run(model.aget_text_embedding_batch([])) == []
    assert server.requests == 0


def test_address_and_key_are_filled_from_the_environment(monkeypatch):
    monkeypatch.setenv("EMBEDWAY_BASE_URL", "https://gateway.example/v1")
    monkeypatch.setenv("EMBEDWAY_API_KEY", KEY)
    model = EmbedwayEmbedding("m")

    assert model.base_url == "https://gateway.example/v1"
    assert model.api_key == SecretStr(KEY)


def test_every_keyword_reaches_the_client(server):
    model = EmbedwayEmbedding(
        "m",
        base_url=server.url,
        api_key=KEY,
        dimensions=8,
        timeout=5,
        max_retries=0,
        fallback="local",
        vector_space="vs1-a",
        default_headers={"X-Team": "search"},
        insecure=True,
    )
    model.get_text_embedding("a")
    settings = model._client._settings

    assert server.bodies[0]["dimensions"] == 8
    assert server.asked[0][1]["authorization"] == f"Bearer {KEY}"
    assert server.asked[0][1]["x-team"] == "search"
    assert (settings.timeout, settings.max_retries, settings.insecure) == (5, 0, True)
    assert (settings.fallback, settings.vector_space) == ("local", "vs1-a")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"modell": "m"}, TypeError),
        ({"fallback": "gpu"}, ValueError),
        ({"batch_size": 0}, ValueError),
        ({"embed_batch_size": 5000}, ValueError),
        ({"base_url": "x"}, ValueError),
    ],
)
def test_what_cannot_work_is_refused_at_once(options, error):
    with pytest.raises(error) as caught:
        EmbedwayEmbedding("m", api_key=KEY, **options)

    assert KEY not in str(caught.value)


def test_a_model_must_be_named():
    with pytest.raises(ValueError, match="name the model"):
        EmbedwayEmbedding()


def test_fields_cannot_be_set_behind_the_clients_back():
    model = EmbedwayEmbedding("m")
    model.callback_manager = CallbackManager([])
    with pytest.raises(ValidationError, match="frozen"):
        model.base_url = "http://127.0.0.1:1/v1"
    with pytest.raises(ValidationError, match="frozen"):
        model.model_name = "n"


def test_what_is_stored_has_no_credentials_and_comes_back(server, monkeypatch):
    monkeypatch.setenv("EMBEDWAY_API_KEY", KEY)
    model = EmbedwayEmbedding(
        "m",
        base_url=server.url,
        dimensions=8,
        batch_size=7,
        timeout=9.0,
        max_retries=1,
        fallback="local",
        vector_space="vs1-a",
        default_headers={"authorization": f"Bearer {KEY}"},
    )
    stored = json.dumps(model.to_dict())
    restored = EmbedwayEmbedding.from_dict(json.loads(stored))

    for shown in (stored, model.to_json(), repr(model), str(model), repr(model.to_payload())):
        assert KEY not in shown
    assert restored.to_dict() == model.to_dict()
    assert restored._client._settings.batch_size == 7
    assert restored.api_key == SecretStr(KEY)
    assert restored.get_text_embedding("a") == model.get_text_embedding("a")


@pytest.mark.parametrize(
    "twin",
    [
        lambda m: pickle.loads(pickle.dumps(m)),
        copy.copy,
        copy.deepcopy,
        EmbedwayEmbedding.model_copy,
    ],
)
def test_a_copy_works(server, twin):
    model = EmbedwayEmbedding("m", base_url=server.url, api_key=KEY, batch_size=3)
    vector = model.get_text_embedding("a")
    other = twin(model)

    assert other.get_text_embedding("a") == vector
    assert server.asked[-1][1]["authorization"] == f"Bearer {KEY}"
    assert other.embed_batch_size == 3


def test_a_changed_copy_connects_anew(server):
    model = EmbedwayEmbedding("m", base_url="http://127.0.0.1:1/v1", api_key=KEY)
    model.model_copy(update={"base_url": server.url, "model_name": "n"}).get_text_embedding("a")

    assert server.bodies[0]["model"] == "n"
    assert server.asked[0][1]["authorization"] == f"Bearer {KEY}"


def test_the_frameworks_cache_is_served(server):
    model = EmbedwayEmbedding("m", base_url=server.url, embeddings_cache=SimpleKVStore())
    first = model.get_text_embedding_batch(["a", "b"])

    assert model.get_text_embedding_batch(["a", "b"]) == first
    assert server.requests == 1


def test_runs_in_an_ingestion_pipeline(server):
    nodes = [TextNode(text=text) for text in TEXTS]
    pipeline = IngestionPipeline(transformations=[EmbedwayEmbedding("m", base_url=server.url)])
    done = pipeline.run(nodes=nodes)

    assert np.array_equal(np.float32([node.embedding for node in done]), fake_vectors(TEXTS, 8))


@pytest.mark.parametrize("use_async", [False, True])
def test_retrieval_in_this_process(model_in_store, tmp_path, use_async):
    model = EmbedwayEmbedding(model_in_store, base_url="local")
    index = VectorStoreIndex.from_documents(
        [
            Document(text="The cat sleeps on the warm windowsill all afternoon."),
            Document(text="Interest rates rose by half a percentage point."),
            Document(text="The recipe needs flour, butter and three eggs."),
        ],
        embed_model=model,
        use_async=use_async,
    )
    index.storage_context.persist(str(tmp_path))
    storage = StorageContext.from_defaults(persist_dir=str(tmp_path))
    stored = load_index_from_storage(storage, embed_model=model)

    for each in (index, stored):
        retriever = each.as_retriever(similarity_top_k=1)
        assert "cat" in retriever.retrieve("Where is the kitten napping?")[0].text
        assert "rates" in asyncio.run(retriever.aretrieve("monetary policy"))[0].text
