"""One vector space for a model, and clients that are shared, bounded and closed."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import litellm
import numpy as np
import pytest

from embedway_upstream.testing import fake_vectors
from litellm_embedway import EmbedwayLLM, embedway
from litellm_embedway.option import Setup
from litellm_embedway.pool import Pool
from litellm_embedway.registration import Given

KEY = "sk-very-secret"
SPACE = "llm_provider-x-embedway-vector-space"  # As LiteLLM renames it.


def test_another_space_is_refused_until_it_is_accepted(server, call):
    server.headers["x-embedway-vector-space"] = "space-1"
    call(["a"], api_base=server.url)
    server.headers["x-embedway-vector-space"] = "space-2"
    with pytest.raises(litellm.BadRequestError):
        call(["a"], api_base=server.url)
    embedway.accept_vector_space("m")

    assert call(["a"], api_base=server.url).data


def test_the_space_is_one_for_all_clients_of_a_model(server, call):
    server.headers["x-embedway-vector-space"] = "space-1"
    call(["a"], api_base=server.url)
    server.headers["x-embedway-vector-space"] = "space-2"
    for other in ({"timeout": 5}, {"api_key": KEY}, {"dimensions": 8}, {"batch_size": 1}):
        with pytest.raises(litellm.BadRequestError, match="another space"):
            call(["a"], api_base=server.url, **other)


def test_the_space_outlives_its_client(server, call):
    server.headers["x-embedway-vector-space"] = "space-1"
    call(["a"], api_base=server.url)
    embedway._pool.close()
    server.headers["x-embedway-vector-space"] = "space-2"
    with pytest.raises(litellm.BadRequestError, match="another space"):
        call(["a"], api_base=server.url)


def test_another_size_is_another_space_but_where_it_was_asked_for(server, call):
    call(["a"], api_base=server.url)
    server.vectors.dimensions = 4
    call(["a"], api_base=server.url, dimensions=4)
    server.vectors.dimensions = 16
    with pytest.raises(litellm.BadRequestError, match="another space"):
        call(["a"], api_base=server.url, api_key=KEY)


def test_a_deployment_that_is_asked_in_another_way_is_another_place(server, call):
    one = {"api_base": server.url.removesuffix("/v1"), "engine": "openai"}
    call(["a"], **one)
    server.vectors.dimensions = 4
    for other in ({"path": "/v1/embeddings"}, {"served_model": "n"}, {"query_prompt": "q: "}):
        assert len(call(["a"], **one, **other).data[0]["embedding"]) == 4
    with pytest.raises(litellm.BadRequestError, match="another space"):
        call(["a"], **one, api_key=KEY)
    server.vectors.dimensions = 8

    assert call(["a"], **one).data


def test_a_space_that_is_stated_is_the_one_that_counts(server, call):
    server.headers["x-embedway-vector-space"] = "space-1"
    call(["a"], api_base=server.url)
    with pytest.raises(litellm.BadRequestError, match="space-2 was expected"):
        call(["a"], api_base=server.url, vector_space="space-2")


def test_a_change_that_is_accepted_holds_for_later_calls(server, call):
    server.headers["x-embedway-vector-space"] = "space-1"
    call(["a"], api_base=server.url)
    server.headers["x-embedway-vector-space"] = "space-2"
    call(["a"], api_base=server.url, accept_space_change=True)

    assert call(["a"], api_base=server.url).data


def test_a_client_closes_when_its_last_call_has_ended(server):
    told = {"api_base": f"{server.url}", "timeout": 5.0, "max_retries": 0, "options": ()}
    first, second = (Setup("m", api_key=str(n), **told) for n in range(2))
    pool = Pool(most=1)
    with pool.client(first) as one:
        with pool.client(second):
            assert len(pool) == 1
        assert one.embed(["a"]).shape == (1, 8)
    with pytest.raises(RuntimeError, match="closed"):
        one.embed(["a"])
    pool.close()


def test_a_client_is_made_beside_the_event_loop(monkeypatch, server, finished):
    made = []
    client = Setup.client
    monkeypatch.setattr(
        Setup, "client", lambda setup: made.append(threading.current_thread()) or client(setup)
    )
    asyncio.run(finished(litellm.aembedding("embedway/m", ["a"], api_base=server.url)))

    assert made
    assert threading.main_thread() not in made


def test_threads_and_event_loops_share_a_client(server):
    server.headers["x-embedway-vector-space"] = "space-1"

    def blocking(number):
        return litellm.embedding("embedway/m", [str(number)], api_base=server.url)

    def looping(number):
        work = embedway.aembedding(
            "m", [str(number)], api_base=server.url, timeout=600, optional_params=Given()
        )
        return asyncio.run(work)

    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit((blocking, looping)[number % 2], number) for number in range(12)]
        rows = np.float32([work.result().data[0]["embedding"] for work in asked])

    assert np.array_equal(rows, fake_vectors([str(number) for number in range(12)], 8))
    assert len(embedway._pool) == 1


def test_clients_are_shared_and_bounded(server):
    for number in range(70):
        litellm.embedding("embedway/m", ["a"], api_base=server.url, api_key=f"{KEY}{number}")
        litellm.embedding("embedway/m", ["a"], api_base=server.url, api_key=f"{KEY}{number}")

    assert len(embedway._pool) == 64
    assert KEY not in repr(list(embedway._pool._open))


def test_two_providers_share_nothing():
    assert EmbedwayLLM()._pool is not embedway._pool
