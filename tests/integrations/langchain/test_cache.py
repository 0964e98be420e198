"""EmbedwayEmbeddings in LangChain's CacheBackedEmbeddings: vectors of two spaces never meet."""

from __future__ import annotations

import pytest
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.stores import InMemoryByteStore

from langchain_embedway import EmbedwayEmbeddings

SPACE = "x-embedway-vector-space"


def _cached(model, store, queries=None):
    return CacheBackedEmbeddings.from_bytes_store(
        model,
        store,
        namespace=model.cache_namespace(),
        key_encoder="sha256",
        query_embedding_cache=queries or False,
    )


async def test_what_is_cached_is_not_asked_for_again(server):
    server.headers[SPACE] = "vs1-a"
    store, queries = InMemoryByteStore(), InMemoryByteStore()
    model = EmbedwayEmbeddings(model="m", base_url=server.url, vector_space="vs1-a")
    cached = _cached(model, store, queries)
    vectors, query = cached.embed_documents(["a", "b"]), cached.embed_query("a")
    asked = server.requests

    assert cached.embed_documents(["b", "a"]) == vectors[::-1]
    assert await cached.aembed_documents(["a"]) == vectors[:1]
    assert await cached.aembed_query("a") == query
    assert server.requests == asked
    assert [body["input_type"] for body in server.bodies] == ["document", "query"]


def test_another_space_finds_nothing_of_the_first(server):
    store = InMemoryByteStore()
    for space in ("vs1-a", "vs1-b"):
        server.headers[SPACE] = space
        _cached(EmbedwayEmbeddings(model="m", base_url=server.url), store).embed_documents(["a"])

    assert len(list(store.yield_keys())) == 2
    assert [body["input"] for body in server.bodies].count(["a"]) == 2


def test_the_name_is_one_for_all_who_are_in_one_space_and_another_for_each_other(server):
    def name(**options):
        return EmbedwayEmbeddings(
            **{"model": "m", "base_url": server.url, **options}
        ).cache_namespace()

    server.headers[SPACE] = "vs1-a"
    assert name() == name(batch_size=7) == name(vector_space="vs1-a")
    names = [name(), name(dimensions=8)]
    server.headers[SPACE] = "vs1-b"
    names.append(name())
    del server.headers[SPACE]
    names += [name(), name(model="n"), name(query_prompt="q: ")]
    for more in ({"served_model": "n"}, {"document_prompt": "d: "}, {}):
        direct = EmbedwayEmbeddings.direct(model="m", url=server.url, engine="openai", **more)
        names.append(direct.cache_namespace())

    assert len(set(names)) == len(names)
    assert all(one.startswith("embedway-") and one.isascii() for one in names)


def test_a_stated_space_needs_no_server(nowhere):
    model = EmbedwayEmbeddings(model="m", base_url=nowhere, vector_space="vs1-a")

    assert model.cache_namespace()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_in_this_process_the_precision_is_part_of_the_name(model_in_store, precision):
    model = EmbedwayEmbeddings(model=model_in_store, base_url="local", precision=precision)
    other = EmbedwayEmbeddings(model=model_in_store, base_url="local")

    assert (model.cache_namespace() == other.cache_namespace()) == (precision == "fp32")
