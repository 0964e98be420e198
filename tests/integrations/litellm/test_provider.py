"""LiteLLM's embedding calls, through the provider of ours."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator

import litellm
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doubles.oci_identity import KEY_ID, private_key, write_api_key
from doubles.oci_platform import OCIPlatform
from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import served
from embedway_upstream.testing import fake_vectors
from litellm_embedway import EmbedwayLLM, embedway, register
from litellm_embedway.pool import Pool

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


@pytest.fixture(params=["sync", "async"])
def call(request):
    def run(texts, **options):
        known = {"model": "embedway/m", "input": texts, **options}
        if request.param == "sync":
            return litellm.embedding(**known)
        return asyncio.run(litellm.aembedding(**known))

    return run


def test_registering_twice_changes_nothing():
    register()

    assert [item["custom_handler"] for item in litellm.custom_provider_map] == [embedway]


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
