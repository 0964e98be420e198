"""Many callers at once, as OpenAI's clients see it: one call upstream, and to each its own."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import numpy as np
import openai
import pytest

from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import served
from embedway_gateway.config.schema import Config
from embedway_gateway.web.app import Gateway, create_app
from embedway_upstream.testing import fake_vectors

POISON = "the poisoned one"


class Serial(OpenAIUpstream):
    """Answers one call at a time, once it is opened, and none with the poisoned text."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self._turn: asyncio.Lock | None = None

    def reset(self) -> None:
        super().reset()
        self.open.clear()

    @property
    def calls(self) -> list[list[str]]:
        return [seen.body["input"] for seen in self.seen]

    async def _answer(self, fault: Any, request: dict[str, Any], send: Any) -> None:
        self._turn = self._turn or asyncio.Lock()
        async with self._turn:
            while not self.open.is_set():  # noqa: ASYNC110 – it is set by another thread
                await asyncio.sleep(0.001)
            refused = POISON in request["input"] and POISON not in self.poison
            await super()._answer(422 if refused else fault, request, send)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Serial, str]]:
    app = Serial()
    with served(app) as url:
        yield app, url


@pytest.fixture
def upstream(server: tuple[Serial, str]) -> Serial:
    server[0].reset()
    return server[0]


@pytest.fixture(params=[1])
async def app(
    server: tuple[Serial, str], upstream: Serial, request: pytest.FixtureRequest
) -> AsyncIterator[Gateway]:
    up = {"name": "up", "engine": "openai", "url": server[1], "max_inputs": 32, "timeout": "20s"}
    model = {
        "name": "m",
        "dimensions": 8,
        "prompts": {"query": "query: ", "document": ""},
        "upstreams": [{**up, "max_concurrency": request.param}],
    }
    gateway = create_app(Config.model_validate({"models": [model]}))
    space = gateway.models["m"].upstreams[0].space
    assert space is not None
    # What compares the upstream's space has been here.
    upstream.open.set()
    await space.prove()
    upstream.reset()
    yield gateway
    await gateway.close()


@pytest.fixture
async def client(app: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as http:
        yield openai.AsyncOpenAI(
            base_url="http://gateway/v1", api_key="unused", http_client=http, max_retries=0
        )


Answer = asyncio.Task[list[list[float]]]


def ask(client: openai.AsyncOpenAI, *texts: str, kind: str = "document") -> Answer:
    async def vectors() -> list[list[float]]:
        found = await client.embeddings.create(
            model="m", input=list(texts), extra_body={"input_type": kind}
        )
        return [one.embedding for one in found.data]

    return asyncio.create_task(vectors())


async def called(upstream: Serial, times: int = 1) -> None:
    """Wait for calls, and until all that was asked has come as far as it can."""
    while len(upstream.seen) < times:  # noqa: ASYNC110 – it is seen by another thread
        await asyncio.sleep(0.001)
    for _ in range(300):
        await asyncio.sleep(0)


def require_right(answer: list[list[float]], *texts: str) -> None:
    np.testing.assert_array_equal(fake_vectors(texts, 8), np.array(answer, np.float32))


@pytest.mark.parametrize("app", [32], indirect=True)
async def test_identical_requests_at_once_are_one_text_upstream(
    client: openai.AsyncOpenAI, upstream: Serial
) -> None:
    tasks = [ask(client, "same") for _ in range(24)]
    await called(upstream)
    upstream.open.set()

    for answer in await asyncio.gather(*tasks):
        require_right(answer, "same")
    assert [["same"]] == upstream.calls


async def test_callers_of_single_texts_share_calls(
    client: openai.AsyncOpenAI, upstream: Serial
) -> None:
    tasks = [ask(client, f"text {number}") for number in range(64)]
    await called(upstream)
    upstream.open.set()

    for number, answer in enumerate(await asyncio.gather(*tasks)):
        require_right(answer, f"text {number}")
    assert [1, 32, 31] == [len(texts) for texts in upstream.calls]


async def test_a_poisoned_text_is_its_callers_error_alone(
    client: openai.AsyncOpenAI, upstream: Serial
) -> None:
    texts = [*(f"text {number}" for number in range(20)), POISON]
    tasks = [ask(client, text) for text in texts]
    await called(upstream)
    upstream.open.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)

    error = answers.pop()
    assert isinstance(error, openai.BadRequestError)
    assert "secret words" not in str(error)
    for text, answer in zip(texts, answers, strict=False):
        assert not isinstance(answer, BaseException)
        require_right(answer, text)


@pytest.mark.parametrize("word", ["nan", "infinite", "null", "no vector", "zeros"])
async def test_a_text_that_gets_no_vector_is_its_callers_error_alone(
    app: Gateway, client: openai.AsyncOpenAI, upstream: Serial, word: str
) -> None:
    upstream.poison[POISON] = word
    texts = [(f"text {number}",) for number in range(20)]
    tasks = [ask(client, *one) for one in [*texts, ("beside", POISON)]]
    await called(upstream)
    upstream.open.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)

    error = answers.pop()
    assert isinstance(error, openai.InternalServerError)
    assert (502, "input[1]") == (error.status_code, error.param)
    assert "for the text at index 1; change that text or leave it out" in str(error)
    assert POISON not in str(error)
    for one, answer in zip(texts, answers, strict=True):
        assert not isinstance(answer, BaseException)
        require_right(answer, *one)
    state = app.models["m"].upstreams[0]
    assert "closed" == state.target.breaker.state(0)
    assert state.space is not None
    assert "" == state.space.problem


async def test_a_query_is_ahead_of_the_documents_that_wait(
    client: openai.AsyncOpenAI, upstream: Serial
) -> None:
    many = [ask(client, *(f"{number} {place}" for place in range(32))) for number in range(10)]
    await called(upstream)
    query = ask(client, "what?", kind="query")
    await called(upstream)
    upstream.open.set()
    await asyncio.gather(query, *many)

    assert ["query: what?"] == upstream.calls[1]
    require_right(await query, "query: what?")


async def test_the_texts_of_a_caller_that_hangs_up_are_not_sent(
    app: Gateway, client: openai.AsyncOpenAI, upstream: Serial
) -> None:
    first = ask(client, "first")
    await called(upstream)
    stays = ask(client, "shared", "stays")
    body = json.dumps({"model": "m", "input": ["gone", "shared"]}).encode()
    inbox: list[Any] = [{"type": "http.request", "body": body}]
    outbox: list[Any] = []

    async def receive() -> Any:
        if inbox:
            return inbox.pop()
        await called(upstream)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        outbox.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/embeddings", "query_string": b""}
    await app({**scope, "headers": [(b"content-type", b"application/json")]}, receive, send)
    upstream.open.set()

    require_right(await first, "first")
    require_right(await stays, "shared", "stays")
    assert 499 == outbox[0]["status"]
    assert [["first"], ["shared", "stays"]] == upstream.calls
