"""EmbedwayEmbeddings: what is LangChain's own, over the client that has its tests elsewhere."""

from __future__ import annotations

import asyncio
import copy
import pickle

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore
from pydantic import SecretStr, ValidationError

from embedway_upstream.testing import fake_vectors
from langchain_embedway import EmbedwayEmbeddings

KEY = "sk-very-secret"


def test_documents_and_queries_are_told_apart(server):
    model = EmbedwayEmbeddings(model="m", base_url=server.url)
    documents = model.embed_documents(["a", "b"])
    query = model.embed_query("q")

    assert [body["input_type"] for body in server.bodies] == ["document", "query"]
    assert np.array_equal(np.float32(documents), fake_vectors(["a", "b"], 8))
    assert np.array_equal(np.float32(query), fake_vectors(["q"], 8)[0])
    assert {type(number) for row in [*documents, query] for number in row} == {float}


async def test_async_is_native_and_the_same(server):
    model = EmbedwayEmbeddings(model="m", base_url=server.url)
    documents = await model.aembed_documents(["a", "b"])
    query = await model.aembed_query("q")

    assert [body["input_type"] for body in server.bodies] == ["document", "query"]
    assert documents == model.embed_documents(["a", "b"])
    assert query == model.embed_query("q")
    # One connection for what was awaited, one for what blocked.
    assert len(server.connections) == 2


def test_no_documents_need_no_request(server):
    model = EmbedwayEmbeddings(model="m", base_url=server.url)

    assert model.embed_documents([]) == []
    assert asyncio.run(model.aembed_documents([])) == []
    assert server.requests == 0


def test_every_keyword_reaches_the_client(server):
    model = EmbedwayEmbeddings(
        model="m",
        base_url=server.url,
        api_key=KEY,
        dimensions=8,
        batch_size=2,
        timeout=5,
        max_retries=0,
        fallback="local",
        vector_space="vs1-a",
        default_headers={"X-Team": "search"},
        insecure=True,
    )
    model.embed_documents(["a", "b", "c"])
    settings = model._client._settings

    assert [len(body["input"]) for body in server.bodies] == [2, 1]
    assert server.bodies[0]["dimensions"] == 8
    assert server.asked[0][1]["authorization"] == f"Bearer {KEY}"
    assert server.asked[0][1]["x-team"] == "search"
    assert (settings.timeout, settings.max_retries, settings.insecure) == (5, 0, True)
    assert (settings.fallback, settings.vector_space) == ("local", "vs1-a")


def test_address_and_key_are_filled_from_the_environment(monkeypatch):
    monkeypatch.setenv("EMBEDWAY_BASE_URL", "https://gateway.example/v1")
    monkeypatch.setenv("EMBEDWAY_API_KEY", KEY)
    for model in (
        EmbedwayEmbeddings(model="m"),
        EmbedwayEmbeddings(model="m", base_url=None, api_key=None),
    ):
        assert model.base_url == "https://gateway.example/v1"
        assert model.api_key == SecretStr(KEY)


def test_without_an_environment_it_is_the_gateway_on_this_machine():
    model = EmbedwayEmbeddings(model="m")

    assert model.base_url == "http://127.0.0.1:8080/v1"
    assert model.api_key is None


@pytest.mark.parametrize(
    "options",
    [
        {"modell": "m"},
        {"api_keys": KEY},
        {"chunk_size": 5},
        {"fallback": "gpu"},
        {"batch_size": 0},
        {"base_url": "x"},
    ],
)
def test_what_cannot_work_is_refused_at_once_and_no_key_is_shown(options):
    with pytest.raises(ValidationError) as caught:
        EmbedwayEmbeddings(model="m", api_key=KEY, **options)

    assert KEY not in str(caught.value)


def test_a_key_for_a_server_in_the_clear_is_refused():
    with pytest.raises(ValueError, match="use https://"):
        EmbedwayEmbeddings(model="m", base_url="http://gateway:8080/v1", api_key=KEY)


def test_nothing_that_is_shown_holds_the_key():
    model = EmbedwayEmbeddings(model="m", api_key=KEY, default_headers={"x-key": KEY})

    assert KEY not in repr(model) + str(model) + repr(model.model_dump(exclude={"default_headers"}))
    assert KEY not in model.model_dump_json(exclude={"default_headers"})


def test_fields_cannot_be_set_behind_the_clients_back():
    model = EmbedwayEmbeddings(model="m")
    with pytest.raises(ValidationError, match="frozen"):
        model.base_url = "http://127.0.0.1:1/v1"


def test_a_changed_copy_connects_anew(server):
    model = EmbedwayEmbeddings(model="m", base_url="http://127.0.0.1:1/v1", api_key=KEY)
    copied = model.model_copy(update={"base_url": server.url, "model": "n"})
    copied.embed_query("a")

    assert server.bodies[0]["model"] == "n"
    assert server.asked[0][1]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "twin",
    [
        lambda m: pickle.loads(pickle.dumps(m)),
        copy.copy,
        copy.deepcopy,
        EmbedwayEmbeddings.model_copy,
    ],
)
def test_a_copy_works(server, twin):
    model = EmbedwayEmbeddings(model="m", base_url=server.url, api_key=KEY)
    vector = model.embed_query("a")

    assert twin(model).embed_query("a") == vector


@pytest.mark.parametrize("bad", ["one string", [1, 2], [None]])
def test_what_is_not_a_list_of_texts_is_refused(server, bad):
    model = EmbedwayEmbeddings(model="m", base_url=server.url)
    with pytest.raises(TypeError):
        model.embed_documents(bad)
    with pytest.raises(TypeError):
        model.embed_query(None)


def test_retrieval_in_this_process(model_in_store):
    store = InMemoryVectorStore(EmbedwayEmbeddings(model=model_in_store, base_url="local"))
    store.add_documents(
        [
            Document("The cat sleeps on the warm windowsill all afternoon."),
            Document("Interest rates rose by half a percentage point."),
            Document("The recipe needs flour, butter and three eggs."),
        ]
    )

    assert "cat" in store.similarity_search("Where is the kitten napping?", k=1)[0].page_content
    assert "rates" in store.similarity_search("monetary policy", k=1)[0].page_content
