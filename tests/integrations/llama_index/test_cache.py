"""`embeddings_cache`: known vectors are not asked for again, and never the wrong ones given."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from llama_index.core.storage.kvstore import SimpleKVStore

from embedway_client import VectorSpaceChanged
from embedway_upstream import UpstreamUnreachable
from embedway_upstream.testing import fake_vectors
from llama_index.embeddings.embedway import EmbedwayEmbedding

SPACE = "x-embedway-vector-space"

Embed = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def texts_of(request: pytest.FixtureRequest) -> Embed:
    if request.param == "sync":
        return EmbedwayEmbedding.get_text_embedding_batch
    return lambda model, texts: asyncio.run(model.aget_text_embedding_batch(texts))


@pytest.fixture(params=["sync", "async"])
def query_of(request: pytest.FixtureRequest) -> Embed:
    if request.param == "sync":
        return EmbedwayEmbedding.get_query_embedding
    return lambda model, text: asyncio.run(model.aget_query_embedding(text))


def vectors(texts, salt=""):
    return fake_vectors([salt + text for text in texts], 8).tolist()


def sent(server):
    return [body["input"] for body in server.bodies]


def test_what_is_known_is_not_asked_for_again(server, texts_of):
    server.headers[SPACE] = "vs1-a"
    model = EmbedwayEmbedding("m", base_url=server.url, embeddings_cache=SimpleKVStore())
    texts_of(model, ["a", "b"])

    assert texts_of(model, ["c", "b", "a", "c"]) == vectors(["c", "b", "a", "c"])
    assert sent(server) == [["a", "b"], ["c"]]


def test_a_single_text_and_a_batch_find_each_others(server, texts_of, query_of):
    model = EmbedwayEmbedding("m", base_url=server.url, embeddings_cache=SimpleKVStore())
    model.get_text_embedding("a")

    assert texts_of(model, ["a"]) == vectors(["a"]) == [model.get_text_embedding("a")]
    assert query_of(model, "q") == query_of(model, "q") == vectors(["q"])[0]
    assert sent(server) == [["a"], ["q"]]


def test_a_query_is_not_answered_with_a_texts_vector(server, query_of):
    """The framework's own key is the bare text."""
    model = EmbedwayEmbedding("m", base_url=server.url, embeddings_cache=SimpleKVStore())
    model.get_text_embedding("a")
    query_of(model, "a")

    assert [body["input_type"] for body in server.bodies] == ["document", "query"]


@pytest.mark.parametrize(
    "other",
    [
        {"model": "n"},
        {"dimensions": 8},
        {"document_prompt": "d: "},
        {"vector_space": "vs1-other"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_models_that_share_a_store_do_not_get_each_others(server, texts_of, other):
    store = SimpleKVStore()
    one = EmbedwayEmbedding("m", base_url=server.url, embeddings_cache=store)
    texts_of(one, ["a", "b"])
    server.vectors.salt = "other"
    two = EmbedwayEmbedding(
        **{"model": "m", "base_url": server.url, "embeddings_cache": store, **other}
    )
    prompt = other.get("document_prompt", "")

    assert texts_of(two, ["b", "c"]) == vectors(["b", "c"], "other" + prompt)
    assert texts_of(one, ["a", "b"]) == vectors(["a", "b"])


def test_another_class_that_wrote_bare_texts_is_not_believed(server):
    store = SimpleKVStore()
    store.put("a", {"uuid": [9.0] * 8}, collection="embeddings")
    model = EmbedwayEmbedding("m", base_url=server.url, embeddings_cache=store)

    assert model.get_text_embedding("a") == vectors(["a"])[0]


def test_one_space_at_two_addresses_is_one(server, texts_of):
    server.headers[SPACE] = "vs1-a"
    store = SimpleKVStore()
    texts_of(EmbedwayEmbedding("m", base_url=server.url, embeddings_cache=store), ["a"])
    other = EmbedwayEmbedding(
        "alias", base_url="http://127.0.0.1:1/v1", vector_space="vs1-a", embeddings_cache=store
    )

    assert texts_of(other, ["a"]) == vectors(["a"])


def test_a_new_process_asks_for_one_text_and_believes_the_rest(server, texts_of):
    server.headers[SPACE] = "vs1-a"
    store = SimpleKVStore()
    texts_of(EmbedwayEmbedding("m", base_url=server.url, embeddings_cache=store), ["aa", "b"])
    later = EmbedwayEmbedding("m", base_url=server.url, embeddings_cache=store)

    assert texts_of(later, ["aa", "b"]) == vectors(["aa", "b"])
    assert texts_of(later, ["aa", "b"]) == vectors(["aa", "b"])
    assert sent(server) == [["aa", "b"], ["b"]]


def test_a_model_that_was_exchanged_meanwhile_is_noticed(server, texts_of):
    server.headers[SPACE] = "vs1-a"
    store = SimpleKVStore()
    texts_of(EmbedwayEmbedding("m", base_url=server.url, embeddings_cache=store), ["aa", "b"])
    server.headers[SPACE], server.vectors.salt = "vs1-new", "new"
    later = EmbedwayEmbedding("m", base_url=server.url, embeddings_cache=store)

    assert texts_of(later, ["aa", "b", "c"]) == vectors(["aa", "b", "c"], "new")
    assert texts_of(later, ["aa", "b", "c"]) == vectors(["aa", "b", "c"], "new")
    assert sent(server) == [["aa", "b"], ["c"], ["aa", "b"]]


def test_an_exchange_under_way_is_an_error_and_nothing_is_stored(server, texts_of):
    server.headers[SPACE] = "vs1-a"
    model = EmbedwayEmbedding("m", base_url=server.url, embeddings_cache=SimpleKVStore())
    texts_of(model, ["a"])
    server.headers[SPACE], server.vectors.salt = "vs1-new", "new"
    with pytest.raises(VectorSpaceChanged):
        texts_of(model, ["a", "b"])

    assert texts_of(model, ["a"]) == vectors(["a"])
    model.accept_vector_space()
    assert texts_of(model, ["a", "b"]) == vectors(["a", "b"], "new")


def test_a_server_that_tells_no_space_is_known_by_its_address_and_size(server, texts_of):
    store = SimpleKVStore()
    texts_of(EmbedwayEmbedding("m", base_url=server.url, embeddings_cache=store), ["aa", "b"])
    server.vectors.dimensions = 4
    later = EmbedwayEmbedding("m", base_url=server.url, embeddings_cache=store)

    assert texts_of(later, ["aa", "b"]) == fake_vectors(["aa", "b"], 4).tolist()


def test_a_stated_space_needs_no_server_for_what_is_known(server, nowhere):
    server.headers[SPACE] = "vs1-a"
    store = SimpleKVStore()
    EmbedwayEmbedding("m", base_url=server.url, embeddings_cache=store).get_text_embedding("a")
    here = EmbedwayEmbedding(
        "m", base_url=nowhere, vector_space="vs1-a", embeddings_cache=store, max_retries=0
    )

    assert here.get_text_embedding("a") == vectors(["a"])[0]
    with pytest.raises(UpstreamUnreachable):
        here.get_text_embedding("b")


@pytest.mark.parametrize("spoiled", [{}, {"embedding": "x"}, {"embedding": [None]}])
def test_what_is_no_vector_is_embedded_anew(server, spoiled):
    server.headers[SPACE] = "vs1-a"
    store = SimpleKVStore()
    model = EmbedwayEmbedding("m", base_url=server.url, embeddings_cache=store)
    model.get_text_embedding("a")
    for key in store.get_all("embeddings"):
        store.put(key, spoiled, collection="embeddings")

    assert model.get_text_embedding("a") == vectors(["a"])[0]


def test_a_store_that_was_persisted_serves_the_same_numbers(server, tmp_path):
    store = SimpleKVStore()
    options = {"base_url": server.url, "vector_space": "vs1-a"}
    first = EmbedwayEmbedding("m", embeddings_cache=store, **options).get_text_embedding("a")
    store.persist(str(tmp_path / "store.json"))
    again = SimpleKVStore.from_persist_path(str(tmp_path / "store.json"))

    found = EmbedwayEmbedding("m", embeddings_cache=again, **options).get_text_embedding("a")
    assert np.array_equal(found, first)
    assert server.requests == 1


def test_the_store_is_not_stored_and_can_be_given_again(server):
    store = SimpleKVStore()
    model = EmbedwayEmbedding("m", base_url=server.url, embeddings_cache=store)
    data = json.loads(model.to_json())

    assert "embeddings_cache" not in data
    assert EmbedwayEmbedding.from_dict(data, embeddings_cache=store).embeddings_cache is store


def test_a_failure_is_the_servers_and_leaves_no_trace(server, texts_of):
    model = EmbedwayEmbedding(
        "m", base_url=server.url, embeddings_cache=SimpleKVStore(), max_retries=0
    )
    server.error(400, message="Too strange.")
    with pytest.raises(Exception, match="Too strange"):
        texts_of(model, ["a"])

    assert texts_of(model, ["a"]) == vectors(["a"])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(calls=some.lists(some.tuples(some.sampled_from("mnqM"), some.text("ab", max_size=2))))
def test_whoever_shares_a_store_gets_what_it_would_get_without(calls):
    """Two models, texts and queries; the client is stood in for, the cache is real."""
    from embedway_client import EmbeddingResult
    from embedway_upstream import Usage

    store = SimpleKVStore()
    models = {name: EmbedwayEmbedding(name, embeddings_cache=store) for name in "mn"}

    def encode_as(name):
        def encode(texts, *, input_type="document"):
            whole = [f"{name}{input_type}{text}" for text in texts]
            return EmbeddingResult(fake_vectors(whole, 8), Usage(1, 1), f"vs1-{name}", False)

        return encode

    for name, model in models.items():
        model._client.encode = encode_as(name)
    for who, text in calls:
        name = who.lower() if who != "q" else "m"
        if who == "q":
            found = models[name].get_query_embedding(text)
            assert found == fake_vectors([f"{name}query{text}"], 8)[0].tolist()
        else:
            found = models[name].get_text_embedding(text)
            assert found == fake_vectors([f"{name}document{text}"], 8)[0].tolist()
