"""LiteLLM's embedding calls, through the provider of ours."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import litellm
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litellm import main
from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

from doubles.oci_identity import KEY_ID, private_key, write_api_key
from doubles.oci_platform import OCIPlatform
from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import served
from embedway_upstream.testing import fake_vectors
from litellm_embedway import EmbedwayLLM, embedway, register
from litellm_embedway.option import Setup
from litellm_embedway.pool import Pool
from litellm_embedway.registration import Given

KEY = "sk-very-secret"
SPACE = "llm_provider-x-embedway-vector-space"  # As LiteLLM renames it.


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(litellm, "custom_provider_map", [])
    pool = Pool()
    monkeypatch.setattr(embedway, "_pool", pool)
    register()
    yield
    pool.close()


async def finished(work):
    """The result, once LiteLLM has logged it: it leaves that to a task of the same loop."""
    GLOBAL_LOGGING_WORKER.start()  # In this loop, instead of the one before.
    try:
        return await work
    finally:
        await GLOBAL_LOGGING_WORKER.flush()
        await GLOBAL_LOGGING_WORKER.stop()


@pytest.fixture(params=["sync", "async"])
def call(request):
    def run(texts, **options):
        known = {"model": "embedway/m", "input": texts, **options}
        if request.param == "sync":
            return litellm.embedding(**known)
        return asyncio.run(finished(litellm.aembedding(**known)))

    return run


def test_registering_twice_changes_nothing():
    before = main.get_optional_params_embeddings
    register()

    assert [item["custom_handler"] for item in litellm.custom_provider_map] == [embedway]
    assert main.get_optional_params_embeddings is before
    assert "embedway" not in litellm.openai_compatible_providers


def test_other_providers_parameters_are_as_before():
    with pytest.raises(litellm.UnsupportedParamsError, match="dimensions"):
        litellm.embedding("huggingface/x", ["a"], dimensions=4, api_base="http://127.0.0.1:9")


def test_one_that_was_not_registered_refuses(monkeypatch, server, call):
    monkeypatch.setattr(main, "get_optional_params_embeddings", lambda **_given: {})
    with pytest.raises(litellm.BadRequestError, match=r"register\(\) was not called"):
        call(["a"], api_base=server.url, dimensions=4)

    assert server.requests == 0


def test_a_version_without_the_place_to_register_is_told(monkeypatch):
    monkeypatch.delattr(main, "get_optional_params_embeddings")
    with pytest.raises(ImportError, match="version of LiteLLM"):
        register()


@pytest.mark.parametrize("drop", [True, False])
@pytest.mark.parametrize("place", ["call", "everywhere"])
def test_dimensions_are_never_dropped(monkeypatch, server, call, drop, place):
    options = {"drop_params": drop} if place == "call" else {}
    if place == "everywhere":
        monkeypatch.setattr(litellm, "drop_params", drop)
    server.vectors.dimensions = 4
    answer = call(["a"], api_base=server.url, dimensions=4, user="somebody", **options)

    assert len(answer.data[0]["embedding"]) == 4
    assert server.bodies[0]["dimensions"] == 4
    assert "user" not in server.bodies[0]


def test_dimensions_that_did_not_come_are_an_error(server, call):
    with pytest.raises(litellm.InternalServerError, match="8 dimensions"):
        call(["a"], api_base=server.url, dimensions=4, drop_params=True)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("base", [True, False])
def test_a_chat_is_refused_and_sent_nowhere(monkeypatch, server, stream, base):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    message = [{"role": "user", "content": "Hello"}]
    options = {"messages": message, "stream": stream, "api_base": server.url if base else None}
    with pytest.raises(litellm.BadRequestError, match="embeds, and nothing else"):
        litellm.completion("embedway/m", **options)
    with pytest.raises(litellm.BadRequestError, match="embeds, and nothing else"):
        asyncio.run(finished(litellm.acompletion(model="embedway/m", **options)))

    assert server.requests == 0


@pytest.mark.parametrize("ask", [litellm.image_generation, litellm.speech, litellm.transcription])
def test_nothing_else_is_sent_to_openai_either(monkeypatch, server, ask):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    given = {"file": b"a"} if ask is litellm.transcription else {}
    given |= {"prompt": "a"} if ask is litellm.image_generation else {}
    given |= {"input": "a", "voice": "b"} if ask is litellm.speech else {}
    with contextlib.suppress(Exception):
        ask(model="embedway/m", **given)

    assert server.requests == 0


def test_vectors_usage_and_space_are_in_litellms_types(server, call):
    server.headers["x-embedway-vector-space"] = "space-1"
    answer = call(["a", "b"], api_base=server.url, api_key=KEY, input_type="search_query")

    assert np.array_equal(
        np.float32([row["embedding"] for row in answer.data]), fake_vectors(["a", "b"], 8)
    )
    assert [(row["index"], row["object"]) for row in answer.data] == [
        (0, "embedding"),
        (1, "embedding"),
    ]
    assert answer.usage.total_tokens == answer.usage.prompt_tokens > 0
    assert server.bodies[0]["input_type"] == "query"
    assert server.asked[0][1]["authorization"] == f"Bearer {KEY}"
    assert answer._hidden_params["additional_headers"][SPACE] == "space-1"


def test_base64_is_little_endian_float32(server, call):
    answer = call(["a"], api_base=server.url, encoding_format="base64")
    vector = np.frombuffer(base64.b64decode(answer.data[0]["embedding"]), "<f4")

    assert np.array_equal(vector, fake_vectors(["a"], 8)[0])


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text("abc", min_size=1), min_size=1, max_size=20))
def test_row_i_is_of_text_i(server, texts):
    answer = litellm.embedding("embedway/m", texts, api_base=server.url, batch_size=3)

    assert np.array_equal(
        np.float32([row["embedding"] for row in answer.data]), fake_vectors(texts, 8)
    )


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {}, litellm.BadRequestError),
        (401, {}, litellm.AuthenticationError),
        (404, {"code": "model_not_found"}, litellm.NotFoundError),
        (429, {}, litellm.RateLimitError),
        (500, {}, litellm.InternalServerError),
        (400, {"code": "context_length_exceeded"}, litellm.ContextWindowExceededError),
        (413, {}, litellm.ContextWindowExceededError),
        (504, {}, litellm.Timeout),
    ],
)
def test_errors_are_litellms_and_are_not_tried_again(server, call, status, error, kind):
    server.error(status, **error)
    with pytest.raises(kind) as raised:
        call(["a"], api_base=server.url, api_key=KEY)

    assert type(raised.value) is kind
    assert server.requests == 1
    assert KEY not in str(raised.value)


def test_retry_after_reaches_litellm(server, call):
    server.error(429, headers={"retry-after": "7"})
    with pytest.raises(litellm.RateLimitError) as raised:
        call(["a"], api_base=server.url)

    assert raised.value.response.headers["retry-after"] == "7"


def test_no_connection_is_told_as_such(nowhere, call):
    with pytest.raises(litellm.APIConnectionError):
        call(["a"], api_base=nowhere)


@pytest.mark.parametrize(
    ("texts", "options", "cure"),
    [
        ([[1, 2]], {}, "send the texts"),
        ([1, 2], {}, "send the texts"),
        (["a"], {"input_type": "clustering"}, "input_type must be"),
        (["a"], {"truncate": "END"}, "unknown parameter 'truncate'"),
        (["a"], {"insecure": "perhaps"}, "true or false"),
        (["a"], {"credentials": KEY}, "must be oci or aicore"),
    ],
)
def test_what_cannot_be_is_refused_with_the_cure(server, call, texts, options, cure):
    with pytest.raises(litellm.BadRequestError, match=cure) as raised:
        call(texts, api_base=server.url, **options)

    assert server.requests == 0
    assert KEY not in str(raised.value)


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


def test_a_client_is_made_beside_the_event_loop(monkeypatch, server):
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


def test_a_router_tries_again_and_nobody_else(server):
    deployment = {"model": "embedway/m", "api_base": server.url}
    router = litellm.Router(
        [{"model_name": "mine", "litellm_params": deployment}], num_retries=1, retry_after=0
    )
    server.error(500)

    assert router.embedding(model="mine", input=["a"]).data
    assert server.requests == 2
    server.error(500)
    assert asyncio.run(finished(router.aembedding(model="mine", input=["a"]))).data
    assert server.requests == 4


def test_tries_of_ours_are_counted_out(server, call):
    server.error(503, headers={"retry-after": "0"})
    server.error(503, headers={"retry-after": "0"})
    with pytest.raises(litellm.InternalServerError):
        call(["a"], api_base=server.url, max_retries=1)

    assert server.requests == 2


def test_a_deployment_is_called_with_a_signature(monkeypatch, tmp_path, call):
    platform = OCIPlatform(OpenAIUpstream(), {KEY_ID: private_key().public_key()})
    monkeypatch.setenv("OCI_CONFIG_FILE", str(write_api_key(tmp_path)))
    with served(platform) as address:
        url = f"{address}/ocid1.datasciencemodeldeployment.oc1.iad.xxx"
        answer = call(["a"], api_base=url, engine="tei", platform="oci", credentials="oci")

    assert len(answer.data) == 1
    assert dict(platform.verdicts) == {"ok": 1}


def test_two_providers_share_nothing():
    assert EmbedwayLLM()._pool is not embedway._pool
