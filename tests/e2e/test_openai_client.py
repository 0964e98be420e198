"""What the openai client makes of our answers, errors and headers, with nothing but its address."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import openai
import pytest

from doubles.gateway_process import GatewayProcess
from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import free_port, served
from embedway_gateway.config.schema import Config
from embedway_gateway.web.app import create_app
from embedway_upstream.testing import fake_vectors

TEXTS = ["one", "two", "three"]


@pytest.fixture(scope="module")
def upstream() -> OpenAIUpstream:
    return OpenAIUpstream()


@pytest.fixture(scope="module")
def base_url(upstream: OpenAIUpstream) -> Iterator[str]:
    """A gateway before one upstream; it tries once, and tells on what the upstream asks for."""
    with served(upstream) as url:
        up = {"name": "up", "engine": "openai", "url": url, "timeout": "300ms"}
        prompts = {"query": "query: ", "document": ""}
        model = {"name": "m", "dimensions": 8, "matryoshka": [4], "upstreams": [up]}
        nobody = {**up, "url": f"http://127.0.0.1:{free_port()}"}
        config = {
            "server": {"max_body_bytes": 100_000},
            "routing": {"attempts": 1, "breaker_failures": 1000, "retry_longest": "100ms"},
            "models": [
                {**model, "prompts": prompts},
                {**model, "name": "gone", "upstreams": [nobody]},
            ],
        }
        with served(create_app(Config.model_validate(config))) as root:
            yield f"{root}/v1"


@pytest.fixture
def client(base_url: str, upstream: OpenAIUpstream) -> Iterator[openai.OpenAI]:
    """Without retries; the upstream has been asked before, and behaves."""
    upstream.reset()
    with openai.OpenAI(base_url=base_url, api_key="unused", max_retries=0) as client:
        # What is looked at after an earlier test's failure is then over, too.
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                client.embeddings.create(model="m", input="a")
                break
            except openai.APIStatusError:
                time.sleep(0.05)
        upstream.reset()
        yield client


async def test_the_async_client_gets_the_same_numbers(
    gateway: GatewayProcess, client: openai.OpenAI
) -> None:
    plain = openai.OpenAI(base_url=gateway.base_url, api_key="unused")
    floats = plain.embeddings.create(model="minilm", input=TEXTS, encoding_format="float")
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key="unused") as asynchronous:
        packed = await asynchronous.embeddings.create(model="minilm", input=TEXTS)

    rows = [np.array([item.embedding for item in one.data], np.float32) for one in (floats, packed)]
    np.testing.assert_array_equal(*rows)
    assert floats.usage == packed.usage


def test_raw_responses_carry_our_headers(gateway: GatewayProcess) -> None:
    client = openai.OpenAI(base_url=gateway.base_url, api_key="unused")

    raw = client.embeddings.with_raw_response.create(
        model="minilm", input=TEXTS, extra_headers={"x-request-id": "of-mine.1"}
    )

    assert "of-mine.1" == raw.headers["x-request-id"] == raw.request_id
    assert "local" == raw.headers["x-embedway-upstream"]
    assert raw.headers["x-embedway-vector-space"].startswith("vs1-")
    assert 3 == len(raw.parse().data)
    assert raw.parse()._request_id == "of-mine.1"


def test_dimensions_and_input_type_are_passed(
    client: openai.OpenAI, upstream: OpenAIUpstream
) -> None:
    short = client.embeddings.create(model="m", input=TEXTS, dimensions=4, user="someone")
    client.embeddings.create(model="m", input="a", extra_body={"input_type": "query"})

    expected = fake_vectors(TEXTS, 8)[:, :4]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose([item.embedding for item in short.data], expected, atol=1e-6)
    assert upstream.seen[-1].body["input"] in ("query: a", ["query: a"])


@pytest.mark.parametrize(
    ("fault", "raised", "status", "code"),
    [
        (400, openai.BadRequestError, 400, "invalid_request"),
        ((429, {"retry-after": "7"}), openai.RateLimitError, 429, "rate_limit_exceeded"),
        (500, openai.InternalServerError, 502, "upstream_error"),
        (401, openai.InternalServerError, 502, "upstream_error"),
        ("nan", openai.InternalServerError, 502, "upstream_error"),
        ("hang", openai.InternalServerError, 504, "upstream_timeout"),
    ],
)
def test_an_upstreams_failure_is_the_clients_own_error(
    client: openai.OpenAI,
    upstream: OpenAIUpstream,
    fault: Any,
    raised: type[openai.APIStatusError],
    status: int,
    code: str,
) -> None:
    upstream.faults.extend([fault] * 9)

    with pytest.raises(raised) as caught:
        client.embeddings.create(model="m", input=f"for {code}")
    upstream.faults.clear()

    error = caught.value
    assert (status, code) == (error.status_code, error.code)
    assert error.request_id == error.response.headers["x-request-id"]
    assert error.request_id
    assert "secret words" not in str(error)
    if status == 429:
        assert "7" == error.response.headers["retry-after"]


@pytest.mark.parametrize(
    ("body", "raised", "status", "code"),
    [
        ({"model": "nothing", "input": "a"}, openai.NotFoundError, 404, "model_not_found"),
        ({"model": "m", "input": ""}, openai.BadRequestError, 400, "invalid_request"),
        ({"model": "m", "input": []}, openai.BadRequestError, 400, "invalid_request"),
        ({"model": "m", "input": [[1, 2]]}, openai.BadRequestError, 400, "invalid_request"),
        ({"model": "m", "input": "x" * 100_000}, openai.APIStatusError, 413, "body_too_large"),
        ({"model": "gone", "input": "a"}, openai.InternalServerError, 503, None),
    ],
)
def test_what_the_gateway_refuses_is_too(
    client: openai.OpenAI,
    body: dict[str, Any],
    raised: type[openai.APIStatusError],
    status: int,
    code: str | None,
) -> None:
    with pytest.raises(raised) as caught:
        client.embeddings.create(**body)

    assert status == caught.value.status_code
    assert code in {None, caught.value.code}


def test_nobody_at_the_address_is_a_connection_error() -> None:
    base_url = f"http://127.0.0.1:{free_port()}/v1"
    with (
        openai.OpenAI(base_url=base_url, api_key="unused", max_retries=0) as client,
        pytest.raises(openai.APIConnectionError),
    ):
        client.embeddings.create(model="m", input="a")


def test_the_client_waits_as_long_as_it_is_told_and_then_succeeds(
    client: openai.OpenAI, upstream: OpenAIUpstream
) -> None:
    upstream.faults.append((429, {"retry-after": "1"}))
    begun = time.monotonic()

    raw = client.with_options(max_retries=3).embeddings.with_raw_response.create(
        model="m", input="patience"
    )

    assert 200 == raw.status_code
    assert raw.retries_taken >= 1
    assert time.monotonic() - begun >= 1


def test_the_client_does_not_try_again_what_cannot_help(
    client: openai.OpenAI, upstream: OpenAIUpstream
) -> None:
    """A 502, which it would try again, but for the header."""
    upstream.faults.extend([401] * 9)

    with pytest.raises(openai.InternalServerError) as caught:
        client.with_options(max_retries=3).embeddings.create(model="m", input="refused")
    upstream.faults.clear()

    assert "false" == caught.value.response.headers["x-should-retry"]
    assert "0" == caught.value.request.headers["x-stainless-retry-count"]
