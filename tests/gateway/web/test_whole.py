"""Whole answers, which go out in one write: byte for byte what ASGI's own way makes of them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from doubles.openai_upstream import OpenAIUpstream
from doubles.raw import Wire, written
from doubles.serving import served, serving
from embedway_gateway.config.schema import Config
from embedway_gateway.web.app import create_app
from embedway_gateway.web.protocol import CONNECTION
from embedway_gateway.web.whole import Head

BODY = b'{"model":"short","input":"a"}'
ID = b"x-request-id: chosen"


def asked(text: str, *lines: bytes) -> bytes:
    return written(json.dumps({"model": "short", "input": text}).encode(), *lines)


async def all_of(wire: Wire, request: bytes) -> bytes:
    """What comes until the gateway hangs up."""
    reader, writer = await asyncio.open_connection(*wire.address)
    writer.write(request)
    async with asyncio.timeout(5):
        said = await reader.read()
    writer.close()
    return said


async def test_it_is_what_an_ordinary_server_sends(
    config: Config, upstream: OpenAIUpstream
) -> None:
    with served(create_app(config)) as url:
        status, headers, body = await Wire(url).post(BODY, ID)
    async with serving(create_app(config)) as url:
        found = await Wire(url).post(BODY, ID)

    for name in ("date", "server"):
        del headers[name]
    assert (status, headers, body) == found
    assert 200 == status
    assert "chosen" == headers["x-request-id"]


async def test_answers_keep_their_order_on_one_connection(
    config: Config, upstream: OpenAIUpstream
) -> None:
    texts = [f"text {number}" for number in range(20)]
    async with serving(create_app(config)) as url:
        replies = await Wire(url).say(b"".join(map(asked, texts)), replies=len(texts))
        alone = [(await Wire(url).say(asked(text)))[0] for text in texts]

    assert [body for _, _, body in alone] == [body for _, _, body in replies]
    assert len(texts) == len({body for _, _, body in replies})


@pytest.mark.parametrize("count", [1, 1500])
async def test_a_connection_that_is_to_end_ends(
    config: Config, upstream: OpenAIUpstream, count: int
) -> None:
    body = json.dumps({"model": "short", "input": ["a"] * count}).encode()
    async with serving(create_app(config)) as url:
        said = await all_of(Wire(url), written(body, b"connection: close"))
        kept = await Wire(url).post(body)

    head, _, rest = said.partition(b"\r\n\r\n")
    assert b"\r\nconnection: close" in head
    assert kept[2] == rest
    assert "connection" not in kept[1]


async def test_while_the_gateway_leaves_every_answer_ends_its_connection(
    config: Config, upstream: OpenAIUpstream
) -> None:
    gateway: Any = create_app(config)
    async with serving(gateway) as url:
        gateway.leaving = True
        said = await all_of(Wire(url), asked("a"))

    assert b"\r\nconnection: close" in said.partition(b"\r\n\r\n")[0]


async def test_the_servers_own_way_is_not_taken(
    config: Config, upstream: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = RequestResponseCycle.send

    async def only_upstreams(self: RequestResponseCycle, message: Any) -> None:
        assert CONNECTION not in self.scope
        await send(self, message)

    monkeypatch.setattr(RequestResponseCycle, "send", only_upstreams)
    async with serving(create_app(config)) as url:
        assert 200 == (await Wire(url).post(BODY))[0]


@pytest.mark.parametrize("value", [b"a\r\nx-other: b", b"a\nb", b"a\rb"])
def test_a_header_is_one_line(value: bytes) -> None:
    with pytest.raises(ValueError, match="end of a line"):
        Head([(b"x-name", value)])
