"""EmbedwayEmbeddings: what is LangChain's own, over the client that has its tests elsewhere."""

from __future__ import annotations

import asyncio
import copy
import pickle
import sys

import httpx
import httpx2
import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore
from pydantic import SecretStr, ValidationError

from embedway_upstream import InvalidRequest
from embedway_upstream.testing import fake_vectors
from langchain_embedway import EmbedwayEmbeddings, collect_usage

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
        precision="int8",
        query_prompt="q: ",
        document_prompt="d: ",
        max_concurrency=3,
        on_usage=print,
    )
    model.embed_documents(["a", "b", "c"])
    settings = model._client._settings

    assert [len(body["input"]) for body in server.bodies] == [2, 1]
    assert server.bodies[0]["dimensions"] == 8
    assert server.asked[0][1]["authorization"] == f"Bearer {KEY}"
    assert server.asked[0][1]["x-team"] == "search"
    assert (settings.timeout, settings.max_retries, settings.insecure) == (5, 0, True)
    assert (settings.fallback, settings.vector_space) == ("local", "vs1-a")
    assert (settings.precision, settings.max_concurrency) == ("int8", 3)
    assert (settings.query_prompt, settings.document_prompt) == ("q: ", "d: ")
    assert settings.on_usage is print


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
        {"chunk_size": 0},
        {"max_concurrency": 0},
        {"precision": "int4"},
        {"precision": "int8"},
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

    assert KEY not in repr(model) + str(model) + repr(model.model_dump())
    assert KEY not in model.model_dump_json()


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


async def test_a_call_may_have_a_chunk_size_of_its_own(server):
    model = EmbedwayEmbeddings(model="m", base_url=server.url, batch_size=2)
    whole = model.embed_documents(["a", "b", "c"], chunk_size=3)
    pieces = await model.aembed_documents(["a", "b", "c"], chunk_size=1)

    assert whole == pieces
    assert sorted(len(body["input"]) for body in server.bodies) == [1, 1, 1, 3]
    with pytest.raises(ValueError, match="batch_size=0"):
        model.embed_documents(["a"], chunk_size=0)


async def test_a_bar_shows_how_many_texts_are_done(server, capsys):
    model = EmbedwayEmbeddings(model="m", base_url=server.url, batch_size=2, show_progress_bar=True)
    model.embed_documents(["a", "b", "c"])
    assert "3/3" in capsys.readouterr().err
    await model.aembed_documents(["a", "b", "c", "d"])
    assert "4/4" in capsys.readouterr().err
    model.embed_query("a")
    assert capsys.readouterr().err == ""


def test_a_bar_without_tqdm_names_the_extra(server, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    model = EmbedwayEmbeddings(model="m", base_url=server.url, show_progress_bar=True)
    with pytest.raises(ImportError, match=r"embedway\[langchain\]"):
        model.embed_documents(["a"])


def test_http_clients_are_used_shared_by_copies_and_left_out_of_pickles(server):
    seen = []
    with httpx.Client(event_hooks={"request": [seen.append]}, params={"v": "1"}) as http:
        model = EmbedwayEmbeddings(model="m", base_url=server.url, http_client=http)
        vector = model.embed_query("a")
        assert copy.deepcopy(model).embed_query("a") == vector
        assert model.model_copy(update={"batch_size": 7}).embed_query("a") == vector
        assert [str(request.url) for request in seen] == [f"{server.url}/embeddings?v=1"] * 3

        restored = pickle.loads(pickle.dumps(model))
        assert restored.embed_query("a") == vector
        assert (len(seen), restored.http_client) == (3, None)


@pytest.mark.parametrize("name", ["http_client", "http_async_client"])
def test_clients_of_another_kind_are_refused_at_once(name):
    with pytest.raises(TypeError, match=rf"{name}= takes an httpx\.\w+, not httpx2\.Client"):
        EmbedwayEmbeddings(model="m", **{name: httpx2.Client()})


async def test_an_async_http_client_is_used(server):
    async with httpx.AsyncClient(headers={"x-from": "mine"}) as http:
        model = EmbedwayEmbeddings(model="m", base_url=server.url, http_async_client=http)
        await model.aembed_query("a")

    assert server.asked[0][1]["x-from"] == "mine"


def test_a_copy_is_changed_under_the_other_names_too(server):
    model = EmbedwayEmbeddings(model="m", base_url=server.url)

    assert model.model_copy(update={"chunk_size": 5}).batch_size == 5


def test_prompts_are_put_before_texts_for_a_server_that_is_no_gateway(server):
    model = EmbedwayEmbeddings(
        model="m", base_url=server.url, query_prompt="query: ", document_prompt="passage: "
    )
    query, documents = model.embed_query("a"), model.embed_documents(["b"])

    assert [body["input"] for body in server.bodies] == [["query: a"], ["passage: b"]]
    assert np.array_equal(
        np.float32([query, *documents]), fake_vectors(["query: a", "passage: b"], 8)
    )


async def test_a_gateway_that_has_prompts_of_its_own_refuses_others(server):
    server.headers["x-embedway-vector-space"] = "vs1-a"
    model = EmbedwayEmbeddings(model="m", base_url=server.url, query_prompt="query: ")
    with pytest.raises(InvalidRequest, match="leave out query_prompt="):
        model.embed_query("a")
    with pytest.raises(InvalidRequest, match="leave out query_prompt="):
        await model.aembed_documents(["a"])


def test_in_this_process_prompts_make_another_space_and_other_vectors(model_in_store):
    plain = EmbedwayEmbeddings(model=model_in_store, base_url="local")
    prompted = EmbedwayEmbeddings(model=model_in_store, base_url="local", query_prompt="query: ")

    assert prompted.embed_query("a text") == plain.embed_query("query: a text")
    assert prompted.pinned_vector_space != plain.pinned_vector_space


def test_the_environment_can_say_everything(monkeypatch):
    for name, value in {
        "MODEL": "minilm",
        "BASE_URL": "https://gateway.example/v1",
        "API_KEY": KEY,
        "BATCH_SIZE": "32",
        "TIMEOUT": "2.5",
        "FALLBACK": "local",
        "PRECISION": "int8",
        "SHOW_PROGRESS_BAR": "true",
        "QUERY_PROMPT": "query: ",
        "DIMENSIONS": "",
    }.items():
        monkeypatch.setenv(f"EMBEDWAY_{name}", value)
    model = EmbedwayEmbeddings.from_env()

    assert (model.model, model.base_url) == ("minilm", "https://gateway.example/v1")
    assert (model.batch_size, model.timeout, model.dimensions) == (32, 2.5, None)
    assert (model.fallback, model.precision, model.show_progress_bar) == ("local", "int8", True)
    assert model.query_prompt == "query: "
    assert model.api_key == SecretStr(KEY)


def test_an_environment_that_names_no_model_or_nonsense_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="EMBEDWAY_MODEL is not set"):
        EmbedwayEmbeddings.from_env()
    monkeypatch.setenv("EMBEDWAY_MODEL", "minilm")
    monkeypatch.setenv("EMBEDWAY_BATCH_SIZE", "many")
    with pytest.raises(ValidationError, match="batch_size"):
        EmbedwayEmbeddings.from_env()


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


async def test_what_langchain_runs_in_its_own_threads_is_collected(server):
    store = InMemoryVectorStore(EmbedwayEmbeddings(model="m", base_url=server.url))
    with collect_usage() as collected:
        store.add_texts(["a", "b"])
        retriever = store.as_retriever()
        retriever.batch(["one", "two", "three"])
        await retriever.abatch(["four", "five"])
    store.similarity_search("six")

    assert (collected.calls, collected.texts) == (6, 7)
    assert list(collected.usage_metadata) == ["m"]
