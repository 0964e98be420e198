"""`chat_model`: LangChain's own chat class, with our rules for address and key."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from doubles.openai_upstream import _lifespan, _reply
from doubles.serving import served
from langchain_embedway import chat_model

KEY = "sk-very-secret"


class Chat:
    """Says what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], dict[str, Any]]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        self.asked.append((scope["path"], headers, json.loads(body)))
        said = {"role": "assistant", "content": "Into the Black Sea."}
        answer = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "message": said, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9},
        }
        await _reply(send, 200, json.dumps(answer).encode())


async def _close(model: ChatOpenAI) -> None:
    model.root_client.close()
    await model.root_async_client.close()


async def test_it_asks_the_gateway_as_it_is_told(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-service")
    chat = Chat()
    with served(chat) as address:
        model = chat_model(
            "at-home",
            base_url=address,
            api_key=SecretStr(KEY),
            temperature=0.5,
            max_tokens=9,
            default_headers={"x-team": "search"},
            options={"seed": 7},
        )
        answers = [model.invoke("Where to?"), await model.ainvoke("Where to?")]
        await _close(model)

    assert {answer.text for answer in answers} == {"Into the Black Sea."}
    for path, headers, body in chat.asked:
        assert path == "/v1/chat/completions"
        assert (headers["authorization"], headers["x-team"]) == (f"Bearer {KEY}", "search")
        assert (body["model"], body["temperature"], body["seed"]) == ("at-home", 0.5, 7)
        assert 9 in {body.get("max_tokens"), body.get("max_completion_tokens")}
    assert KEY not in repr(model)


async def test_a_name_never_leads_to_an_interface_that_no_gateway_has():
    chat = Chat()
    with served(chat) as address:
        model = chat_model("gpt-5-pro", base_url=address, temperature=1.0)
        model.invoke("Where to?")
        await _close(model)

    assert chat.asked[0][0] == "/v1/chat/completions"


def test_address_and_key_are_those_of_the_environment(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-service")
    monkeypatch.setenv("OPENAI_API_BASE", "https://another.example/v1")
    monkeypatch.setenv("EMBEDWAY_BASE_URL", "https://gateway.example/v1")
    monkeypatch.setenv("EMBEDWAY_API_KEY", KEY)
    model = chat_model("m")

    assert model.openai_api_base == "https://gateway.example/v1"
    assert model.openai_api_key.get_secret_value() == KEY


def test_the_key_of_another_service_is_never_sent(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-service")
    model = chat_model("m")

    assert model.openai_api_base == "http://127.0.0.1:8080/v1"
    assert "another" not in model.openai_api_key.get_secret_value()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"base_url": "local"}, "no chat model runs in this process"),
        ({"base_url": "http://gateway:8080/v1", "api_key": KEY}, "use https://"),
        ({"base_url": "gateway"}, "must begin with http"),
    ],
)
def test_what_cannot_work_is_refused_and_no_key_is_shown(options, words):
    with pytest.raises(ValueError, match=words) as caught:
        chat_model("m", **options)
    assert KEY not in str(caught.value)


def test_a_key_may_travel_in_the_clear_where_that_is_said():
    assert chat_model("m", base_url="http://gateway:8080/v1", api_key=KEY, insecure=True)


@pytest.mark.parametrize("name", ["Authorization", "x-api-key", "API-Key", "Cookie"])
@pytest.mark.parametrize("place", ["default_headers", "options"])
def test_headers_that_hold_secrets_are_not_sent_in_the_clear(name, place):
    headers = {name: KEY}
    given = {"options": {"default_headers": headers}} if place == "options" else {place: headers}
    with pytest.raises(ValueError, match="insecure=True") as caught:
        chat_model("m", base_url="http://gateway:8080/v1", **given)

    assert KEY not in str(caught.value)
    for url in ("https://gateway/v1", "http://127.0.0.1:8080/v1"):
        assert chat_model("m", base_url=url, **given)
    assert chat_model("m", base_url="http://gateway:8080/v1", insecure=True, **given)
    assert chat_model("m", base_url="http://gateway:8080/v1", default_headers={"x-team": "a"})


def test_options_may_not_send_the_key_in_the_clear_either():
    url = "http://gateway:8080/v1"
    for base, key, options in (
        (url, None, {"api_key": SecretStr(KEY)}),
        ("https://gateway/v1", KEY, {"base_url": url}),
    ):
        with pytest.raises(ValueError, match="insecure=True"):
            chat_model("m", base_url=base, api_key=key, options=options)


def test_without_langchain_openai_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "langchain_openai", None)
    with pytest.raises(ImportError, match="pip install langchain-openai"):
        chat_model("m")
