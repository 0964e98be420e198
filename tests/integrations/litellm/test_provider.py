"""LiteLLM's embedding calls, through the provider of ours."""

from __future__ import annotations

import asyncio
import base64
import contextlib

import litellm
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litellm import main

from doubles.oci_identity import KEY_ID, private_key, write_api_key
from doubles.oci_platform import OCIPlatform
from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import served
from embedway_upstream import Overloaded
from embedway_upstream.testing import fake_vectors
from litellm_embedway import embedway, register
from litellm_embedway.failure import translated

KEY = "sk-very-secret"
SPACE = "llm_provider-x-embedway-vector-space"  # As LiteLLM renames it.


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
def test_a_chat_is_refused_and_sent_nowhere(monkeypatch, server, stream, base, finished):
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


def test_a_router_tries_again_and_nobody_else(server, finished):
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


def test_an_overload_says_when_to_come_again():
    error = translated(Overloaded("busy", retry_after=3), "m")

    assert type(error) is litellm.ServiceUnavailableError
    assert error.response.headers["retry-after"] == "3"
