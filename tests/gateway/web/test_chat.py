"""`POST /v1/chat/completions` and `/v1/completions`: routed, and passed through byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from doubles.chat_upstream import REPLY, WORDS, ChatUpstream, events
from doubles.serving import free_port, served
from embedway_gateway.config.schema import Config
from embedway_gateway.metric import Metrics
from embedway_gateway.web.app import create_app

MESSAGES: list[Any] = [{"role": "user", "content": "Say something."}]
SECRET = b'{"error":{"message":"planted words","type":"BadRequestError","param":%s,"code":400}}'


def config(url: str) -> Config:
    chat = {"capabilities": ["chat"]}
    up = {"name": "up", "engine": "vllm", "url": url, "model": "odsc-llm", "timeout": "1s"}
    dead = {**up, "name": "dead", "url": f"http://127.0.0.1:{free_port()}"}
    return Config.model_validate(
        {
            "models": [
                {"name": "llama", "aliases": ["short"], **chat, "upstreams": [up]},
                {"name": "single", **chat, "upstreams": [{**up, "max_concurrency": 1}]},
                {"name": "backed", **chat, "upstreams": [dead, {**up, "priority": 1}]},
                {"name": "on ovms", **chat, "upstreams": [{**up, "engine": "ovms"}]},
                {"name": "only texts", "dimensions": 8, "upstreams": [up]},
            ]
        }
    )


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[ChatUpstream, str, Metrics]]:
    upstream, metrics = ChatUpstream(), Metrics()
    with (
        served(upstream) as url,
        served(create_app(config(url), metrics=metrics)) as gateway,
    ):
        yield upstream, gateway, metrics


@pytest.fixture
def upstream(world: tuple[ChatUpstream, str, Metrics]) -> ChatUpstream:
    world[0].reset()
    return world[0]


@pytest.fixture
def http(
    world: tuple[ChatUpstream, str, Metrics], upstream: ChatUpstream
) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=world[1], timeout=10) as client:
        yield client


@pytest.fixture
def client(
    world: tuple[ChatUpstream, str, Metrics], upstream: ChatUpstream
) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{world[1]}/v1", api_key="none", max_retries=0) as client:
        yield client


def body(**more: Any) -> dict[str, Any]:
    return {"model": "llama", "messages": MESSAGES, **more}


def test_a_chat_is_answered_in_the_upstreams_very_bytes_but_for_the_model(
    http: httpx.Client,
) -> None:
    response = http.post("/v1/chat/completions", json=body(model="short"))

    assert 200 == response.status_code, response.text
    assert REPLY.replace(b'"odsc-llm"', b'"short"') == response.content
    assert "up" == response.headers["x-embedway-upstream"]
    assert "x-embedway-fallback" not in response.headers


def test_the_openai_client_reads_it(client: openai.OpenAI) -> None:
    done = client.chat.completions.create(model="llama", messages=MESSAGES)

    assert "llama" == done.model
    assert 'Grüße, "model": "x"' == done.choices[0].message.content
    assert done.usage is not None
    assert 7 == done.usage.total_tokens


def test_the_request_is_passed_on_byte_for_byte_but_for_the_model(
    http: httpx.Client, upstream: ChatUpstream
) -> None:
    # Numbers, escapes, blanks, an empty text, null and a field that nobody knows.
    fields = (
        b'"temperature":1.50e-1,"messages":[ {"role":"user","content":"\\u00fc \\/ "} ],'
        b'"stop":null,"x-new":{"model":"inner"},"seed":12345678901234567890'
    )

    response = http.post(
        "/v1/chat/completions",
        content=b'{ "model" : "llama", ' + fields + b"}",
        headers={"content-type": "application/json", "authorization": "Bearer of-the-caller"},
    )

    assert 200 == response.status_code, response.text
    assert [b'{"model":"odsc-llm",' + fields + b"}"] == upstream.bodies
    assert ["/v1/chat/completions"] == upstream.paths
    assert "authorization" not in upstream.headers[0]


@pytest.mark.parametrize(
    ("model", "task", "path"),
    [
        ("llama", "completions", "/v1/completions"),
        ("on ovms", "chat/completions", "/v3/chat/completions"),
        ("on ovms", "completions", "/v3/completions"),
    ],
)
def test_each_engine_has_its_path(
    http: httpx.Client, upstream: ChatUpstream, model: str, task: str, path: str
) -> None:
    response = http.post(f"/v1/{task}", json=body(model=model, prompt="Once"))

    assert 200 == response.status_code, response.text
    assert [path] == upstream.paths


def test_every_event_arrives_before_the_next_is_made(
    client: openai.OpenAI, upstream: ChatUpstream
) -> None:
    upstream.held = True
    upstream.release()
    words = []

    with client.chat.completions.create(model="llama", messages=MESSAGES, stream=True) as stream:
        for chunk in stream:
            # The upstream has sent no more than what was released.
            upstream.release()
            assert "llama" == chunk.model
            words += [choice.delta.content for choice in chunk.choices]

    assert list(WORDS) == words


def test_a_stream_is_passed_on_byte_for_byte_but_for_the_model(http: httpx.Client) -> None:
    response = http.post("/v1/chat/completions", json=body(stream=True))

    assert b"".join(events()).replace(b'"odsc-llm"', b'"llama"') == response.content
    assert response.headers["content-type"].startswith("text/event-stream")
    assert "x-secret" not in response.headers
    assert response.headers["x-request-id"]


@pytest.mark.parametrize("model", ["llama", "single"])
def test_who_hangs_up_stops_the_upstream_and_frees_its_slot(
    http: httpx.Client, upstream: ChatUpstream, model: str
) -> None:
    upstream.held = True
    upstream.release()
    with http.stream("POST", "/v1/chat/completions", json=body(model=model, stream=True)) as some:
        assert next(some.iter_bytes())

    assert upstream.hung_up.wait(5)
    upstream.held = False
    assert 200 == http.post("/v1/chat/completions", json=body(model=model)).status_code


def test_tokens_are_counted_where_they_are_told(
    http: httpx.Client, world: tuple[ChatUpstream, str, Metrics]
) -> None:
    def shown() -> tuple[float | None, float | None]:
        registry = world[2].registry
        names = {"model": "llama", "upstream": "up"}
        return (
            registry.get_sample_value("embedway_tokens_total", names),
            registry.get_sample_value("embedway_upstream_in_flight", names),
        )

    http.post("/v1/chat/completions", json=body())
    before, _ = shown()

    http.post("/v1/chat/completions", json=body())
    http.post("/v1/chat/completions", json=body(stream=True))

    after, running = shown()
    assert before is not None
    assert (before + 7 + 6, 0) == (after, running)


def test_a_dead_upstream_is_replaced_by_the_next(http: httpx.Client) -> None:
    response = http.post("/v1/chat/completions", json=body(model="backed", stream=True))

    assert 200 == response.status_code, response.text
    assert "up" == response.headers["x-embedway-fallback"]


LONG = b'{"error":{"message":"This model\'s maximum context length is 512 tokens. However, you'
LONG += b' requested 600 tokens: planted words","type":"BadRequestError","param":null,"code":400}}'


@pytest.mark.parametrize(
    ("fault", "status", "code", "param"),
    [
        ((400, LONG), 400, "context_length_exceeded", None),
        ((400, SECRET % b'"messages"'), 400, "invalid_request", "messages"),
        ((422, SECRET % b'"planted words"'), 400, "invalid_request", None),
        ((401, b'{"error":"Unauthorized"}'), 502, "upstream_error", None),
        ((404, SECRET % b"null"), 502, "upstream_error", None),
        ((429, SECRET % b"null"), 429, "rate_limit_exceeded", None),
        (
            (424, b'{"error":"planted words","error_type":"generation"}'),
            502,
            "upstream_error",
            None,
        ),
        ((500, b"<html>planted words</html>"), 502, "upstream_error", None),
        ("html", 502, "upstream_error", None),
        ("whole", 502, "upstream_error", None),
        ("hang", 504, "upstream_timeout", None),
    ],
)
def test_failures_before_the_answer_are_told_in_openais_form(
    http: httpx.Client, upstream: ChatUpstream, fault: Any, status: int, code: str, param: str
) -> None:
    upstream.faults.extend([fault] * 9)

    response = http.post("/v1/chat/completions", json=body(stream=True))

    assert status == response.status_code, response.text
    error = response.json()["error"]
    assert (code, param) == (error["code"], error["param"])
    assert "planted words" not in response.text


@pytest.mark.parametrize(("fault", "code"), [("break", "unreachable"), ("still", "timeout")])
def test_a_stream_that_breaks_ends_with_an_error_that_clients_raise(
    client: openai.OpenAI, upstream: ChatUpstream, fault: str, code: str
) -> None:
    upstream.faults.append(fault)
    words: list[str | None] = []

    def listen() -> None:
        for chunk in client.chat.completions.create(model="llama", messages=MESSAGES, stream=True):
            words.extend(choice.delta.content for choice in chunk.choices)

    with pytest.raises(openai.APIError) as raised:
        listen()

    assert list(WORDS[:2]) == words
    assert f"upstream_{code}" == raised.value.code


@pytest.mark.parametrize(
    ("path", "wrong", "status", "param"),
    [
        ("chat/completions", {"model": "only texts"}, 400, "model"),
        ("chat/completions", {"model": "nobody"}, 404, "model"),
        ("chat/completions", {"model": 7}, 400, "model"),
        ("chat/completions", {"model": None}, 400, "model"),
        ("chat/completions", {"stream": "yes"}, 400, "stream"),
        ("completions", {}, 400, "prompt"),
    ],
)
def test_mistakes_are_named_with_their_field(
    http: httpx.Client, path: str, wrong: dict[str, Any], status: int, param: str
) -> None:
    response = http.post(f"/v1/{path}", json=body(**wrong))

    assert status == response.status_code
    assert param == response.json()["error"]["param"]


@pytest.mark.parametrize("content", [b"[1]", b"{", b'{"model":"llama"}', b'{"messages":[]}'])
def test_what_is_no_chat_is_refused(http: httpx.Client, content: bytes) -> None:
    headers = {"content-type": "application/json"}
    response = http.post("/v1/chat/completions", content=content, headers=headers)

    assert 400 == response.status_code
    assert "invalid_request" == json.loads(response.content)["error"]["code"]


def test_a_model_that_only_chats_is_listed_without_a_space(http: httpx.Client) -> None:
    entry = http.get("/v1/models/llama").json()

    assert ["chat"] == entry["capabilities"]
    assert entry["dimensions"] is None
