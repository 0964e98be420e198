"""What a caller sees when upstreams fail: an error in OpenAI's form, or right vectors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, Self

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from doubles.openai_upstream import OpenAIUpstream
from doubles.proven import prove
from doubles.serving import free_port, served, serving
from embedway_gateway.config.schema import Config
from embedway_gateway.layers.canary import CANARIES
from embedway_gateway.metric import Metrics
from embedway_gateway.web.app import create_app
from embedway_upstream.testing import fake_vectors

SPOILED = [
    *("html", "truncated", "nan", "null", "zeros", "dimension", "dropped", "duplicated"),
    *("extra", "unnumbered", "bad base64", "odd bytes", "ragged", "reset"),
]
TEXTS = ["first", "second", "third"]


def config_of(*urls: str, timeout: str = "1s") -> Config:
    return Config.model_validate(
        {
            "models": [
                {
                    "name": "m",
                    "dimensions": 8,
                    "upstreams": [
                        {"name": f"up{n}", "engine": "openai", "url": url, "timeout": timeout}
                        for n, url in enumerate(urls)
                    ],
                }
            ]
        }
    )


@pytest.fixture(scope="module")
def replicas() -> Iterator[list[tuple[OpenAIUpstream, str]]]:
    one, two = OpenAIUpstream(), OpenAIUpstream()
    with served(one) as first, served(two) as second:
        yield [(one, first), (two, second)]


@pytest.fixture(autouse=True)
def well_behaved(replicas: list[tuple[OpenAIUpstream, str]]) -> None:
    for app, _ in replicas:
        app.reset()


class Client:
    """A gateway in this process, over the given upstreams."""

    def __init__(self, config: Config) -> None:
        self.registry = CollectorRegistry()
        self.app = create_app(config, metrics=Metrics(self.registry))
        transport = httpx.ASGITransport(self.app)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://gateway")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()
        await self.app.close()

    async def ask(self, texts: list[str] = TEXTS) -> httpx.Response:
        return await self.http.post("/v1/embeddings", json={"model": "m", "input": texts})


@pytest.fixture
async def single(replicas: list[tuple[OpenAIUpstream, str]]) -> AsyncIterator[Client]:
    async with Client(config_of(replicas[0][1])) as client:
        await prove(client.app)
        replicas[0][0].reset()
        yield client


@pytest.mark.parametrize("fault", SPOILED)
async def test_a_spoiled_reply_is_tried_again_and_never_passed_on(
    single: Client, replicas: list[tuple[OpenAIUpstream, str]], fault: str
) -> None:
    replicas[0][0].faults.append(fault)

    response = await single.ask()

    assert 200 == response.status_code, response.text
    rows = [item["embedding"] for item in response.json()["data"]]
    np.testing.assert_array_equal(fake_vectors(TEXTS, 8), np.array(rows, np.float32))
    assert 2 == sum(seen.body["input"] == TEXTS for seen in replicas[0][0].seen)


@pytest.mark.parametrize("fault", SPOILED)
async def test_a_reply_that_stays_spoiled_is_an_error(
    single: Client, replicas: list[tuple[OpenAIUpstream, str]], fault: str
) -> None:
    replicas[0][0].faults.extend([fault] * 9)

    response = await single.ask()
    error = response.json()["error"]

    assert (503 if fault == "reset" else 502) == response.status_code
    assert "upstream_error" == error["type"]
    assert "up0" in error["message"]
    assert "127.0.0.1" not in response.text


@pytest.mark.parametrize(
    ("fault", "status", "code", "attempts"),
    [
        (500, 502, "upstream_error", 3),
        (503, 502, "upstream_error", 3),
        (401, 502, "upstream_error", 1),
        (403, 502, "upstream_error", 1),
        (404, 502, "upstream_error", 1),
        (302, 502, "upstream_error", 1),
        (504, 504, "upstream_timeout", 3),
        (400, 400, "invalid_request", 1),
        (422, 400, "invalid_request", 1),
        ((429, {"retry-after": "60"}), 429, "rate_limit_exceeded", 1),
    ],
)
async def test_an_upstreams_status_becomes_ours(
    single: Client,
    replicas: list[tuple[OpenAIUpstream, str]],
    fault: Any,
    status: int,
    code: str,
    attempts: int,
) -> None:
    upstream = replicas[0][0]
    upstream.faults.extend([fault] * 9)

    response = await single.ask()

    assert (status, code) == (response.status_code, response.json()["error"]["code"])
    assert attempts == len(upstream.seen)
    assert "secret words" not in response.text
    if status == 429:
        assert "60" == response.headers["retry-after"]


async def test_a_hanging_upstream_is_given_up_in_time(
    replicas: list[tuple[OpenAIUpstream, str]],
) -> None:
    app, url = replicas[0]
    app.faults.extend(["hang"] * 9)

    async with Client(config_of(url, timeout="50ms")) as client:
        response = await client.ask()

    assert 504 == response.status_code
    assert "upstream_timeout" == response.json()["error"]["code"]


async def test_nobody_there_is_503() -> None:
    async with Client(config_of(f"http://127.0.0.1:{free_port()}")) as client:
        response = await client.ask()

    assert 503 == response.status_code
    assert "true" == response.headers["x-should-retry"]


async def test_a_dead_replica_is_invisible(replicas: list[tuple[OpenAIUpstream, str]]) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    # The first defines the vector space, so it is the second that is dead.
    async with Client(config_of(replicas[0][1], dead)) as client:
        answers = [await client.ask() for _ in range(20)]

    assert {200} == {answer.status_code for answer in answers}


async def test_replicas_of_one_space_share_the_work(
    replicas: list[tuple[OpenAIUpstream, str]],
) -> None:
    async with Client(config_of(*(url for _, url in replicas))) as client:
        answers = await asyncio.gather(*(client.ask([f"{n}"]) for n in range(20)))

    assert {"up0", "up1"} == {answer.headers["x-embedway-upstream"] for answer in answers}
    assert 1 == len({answer.headers["x-embedway-vector-space"] for answer in answers})


async def test_a_replica_of_another_space_never_answers(
    replicas: list[tuple[OpenAIUpstream, str]],
) -> None:
    replicas[1][0].salt = "another model: "

    async with Client(config_of(*(url for _, url in replicas))) as client:
        answers = [await client.ask() for _ in range(20)]
        problems = (await client.http.get("/readyz")).status_code

    assert {"up0"} == {answer.headers["x-embedway-upstream"] for answer in answers}
    assert all(
        item.body["input"] == [text]
        for item, text in zip(replicas[1][0].seen, CANARIES, strict=True)
    )
    assert 200 == problems, "ready: one of the two serves"


async def test_what_happened_is_counted(
    single: Client, replicas: list[tuple[OpenAIUpstream, str]]
) -> None:
    replicas[0][0].faults.append(500)
    await single.ask()
    await single.http.post("/v1/embeddings", json={"model": "m", "input": "a", "dimensions": 3})
    count = single.registry.get_sample_value

    assert 1 == count("embedway_requests_total", {"model": "m", "outcome": "ok"})
    assert 1 == count("embedway_requests_total", {"model": "m", "outcome": "invalid_request"})
    assert 3 == count("embedway_texts_total", {"model": "m", "upstream": "up0"})
    assert 3 == count("embedway_tokens_total", {"model": "m", "upstream": "up0"})
    assert 1 == count(
        "embedway_upstream_attempts_total",
        {"model": "m", "upstream": "up0", "outcome": "upstream_failed"},
    )
    assert 2 == count("embedway_request_seconds_count", {"model": "m"})
    text = (await single.http.get("/metrics")).text
    assert 'embedway_texts_total{model="m",upstream="up0"} 3.0' in text


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.sampled_from([None, "shuffled", "floats", 500, 429, *SPOILED]), min_size=0, max_size=8
    ),
    st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=40),
)
def test_whatever_an_upstream_does_vectors_are_right_or_there_are_none(
    replicas: list[tuple[OpenAIUpstream, str]], faults: list[Any], texts: list[str]
) -> None:
    app, url = replicas[0]
    app.reset()
    app.faults.extend(faults)

    async def ask() -> httpx.Response:
        async with Client(config_of(url)) as client:
            return await client.ask(texts)

    response = asyncio.run(ask())

    if response.status_code == 200:
        rows = [item["embedding"] for item in response.json()["data"]]
        np.testing.assert_array_equal(fake_vectors(texts, 8), np.array(rows, np.float32))
    else:
        assert response.json()["error"]["message"]


@pytest.mark.parametrize("wait", ["9" * 400, "99999999", "-1", "soon"])
async def test_whatever_wait_an_upstream_asks_for_the_answer_is_ours(
    single: Client, replicas: list[tuple[OpenAIUpstream, str]], wait: str
) -> None:
    replicas[0][0].faults.extend([(429, {"retry-after": wait})] * 9)

    response = await single.ask()

    assert 429 == response.status_code
    assert "rate_limit_exceeded" == response.json()["error"]["code"]
    assert int(response.headers.get("retry-after", "0")) <= 86_400


async def test_a_large_request_does_not_crowd_itself_out(
    replicas: list[tuple[OpenAIUpstream, str]],
) -> None:
    _, url = replicas[0]
    upstream = {"name": "up", "engine": "openai", "url": url}
    upstream |= {"max_inputs": 1, "max_concurrency": 1}
    model = {"name": "m", "dimensions": 8, "upstreams": [upstream]}
    texts = [f"text {number}" for number in range(200)]

    async with Client(Config.model_validate({"models": [model]})) as client:
        response = await client.ask(texts)

    assert 200 == response.status_code, response.text


async def test_a_fault_in_a_route_of_fastapis_has_our_form_too(
    config: Config, upstream: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_self: object, _now: float) -> dict[str, str]:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("embedway_gateway.model.Model.problems", broken)
    async with serving(create_app(config)) as url, httpx.AsyncClient(base_url=url) as client:
        answer = await client.get("/readyz")

    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert "planted" not in answer.text
    assert answer.headers["x-request-id"]
