"""Clients that mean harm, byte by byte over real sockets: an answer of ours, and nothing broken."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from doubles.openai_upstream import OpenAIUpstream
from doubles.raw import Wire, written
from doubles.serving import serving
from embedway_gateway.config.schema import Config
from embedway_gateway.layers.canary import CANARIES
from embedway_gateway.log import set_up_logging
from embedway_gateway.web.app import create_app

GOOD = b'{"model":"short","input":"a"}'
FORM = {"message", "type", "param", "code"}


def error_of(body: bytes) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(body)["error"]
    assert FORM == set(error)
    return error


def asked(upstream: OpenAIUpstream) -> list[str]:
    """The texts that it was sent, but for those that it is compared by."""
    texts = [text for seen in upstream.seen for text in seen.body["input"]]
    return [text for text in texts if text not in CANARIES]


@pytest.fixture
async def wire(config: Config, upstream: OpenAIUpstream) -> AsyncIterator[Wire]:
    server = config.server.model_copy(update={"request_timeout": 1.0})
    async with serving(create_app(config.model_copy(update={"server": server}))) as url:
        yield Wire(url)


async def require_well(wire: Wire) -> None:
    """It goes on for everybody else."""
    assert 200 == (await wire.post(GOOD))[0]


BODIES = {
    "deep lists": b'{"model":"short","input":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "deep objects": b'{"model":"short","input":"a","x":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001,
    "a number of a million digits": b'{"model":"short","input":"a","dimensions":'
    + b"9" * 10**6
    + b"}",
    "a huge exponent": b'{"model":"short","input":"a","dimensions":1e999999999}',
    "a negative size": b'{"model":"short","input":"a","dimensions":-8}',
    "NUL outside": b'{"model":"short","input":"a"}\0',
    "NUL in a string": b'{"model":"short","input":"a\0b"}',
    "a lone surrogate": b'{"model":"short","input":"\\ud83d"}',
    "a lone surrogate as a name": b'{"model":"\\udfff","input":"a"}',
    "not UTF-8": b'{"model":"short","input":"\xc0\xaf"}',
    "UTF-16": GOOD.decode().encode("utf-16"),
    "a mark before it": b"\xef\xbb\xbf" + GOOD,
    "a comment": b'{"model":"short",/* */"input":"a"}',
    "single quotes": b"{'model':'short','input':'a'}",
    "NaN": b'{"model":"short","input":"a","dimensions":NaN}',
    "a trailing comma": b'{"model":"short","input":["a",]}',
    "half of it": GOOD[:-7],
    "two of them": GOOD + GOOD,
    "nothing": b"",
}


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in BODIES.items()])
async def test_bad_json_is_400(wire: Wire, upstream: OpenAIUpstream, body: bytes) -> None:
    status, headers, said = await wire.post(body)

    assert 400 == status, said
    assert "invalid_request_error" == error_of(said)["type"]
    assert len(said) < 1000
    assert headers["x-request-id"]
    assert [] == asked(upstream)
    await require_well(wire)


async def test_of_a_field_twice_the_last_counts(wire: Wire, upstream: OpenAIUpstream) -> None:
    """As in every JSON reader that engines use, so that nobody checks one and embeds another."""
    status, _, _ = await wire.post(b'{"model":"none","input":"a","input":"b","model":"short"}')

    assert 200 == status
    assert ["b"] == asked(upstream)


NAMES = [b"evil\r\nx-injected: yes", b'{"a":1}', b"a b", b"\xff\xfe", b"x" * 129, b"", b"a\tb"]


@pytest.mark.parametrize("name", NAMES)
async def test_a_request_id_is_ours_or_harmless(wire: Wire, name: bytes) -> None:
    status, headers, _ = await wire.post(GOOD, b"x-request-id: " + name)

    assert "x-injected" not in headers
    if status == 200:
        # A line break ends the header: what stands before it is a name like any other.
        assert headers["x-request-id"] == "evil" or len(headers["x-request-id"]) == 32
    await require_well(wire)


async def test_a_models_name_cannot_write_lines_into_log_or_headers(
    wire: Wire, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for logger in (logging.getLogger("embedway"), logging.getLogger("uvicorn.error")):
        for attribute in ("handlers", "level", "propagate"):
            monkeypatch.setattr(logger, attribute, getattr(logger, attribute))
    set_up_logging("text")
    name = "m\r\nx-injected: yes\r\n\r\nINFO forged line \x1b[31m\u2028"
    status, headers, said = await wire.post(json.dumps({"model": name, "input": "a"}).encode())
    for handler in logging.getLogger("embedway").handlers:
        handler.flush()

    assert 404 == status
    assert "x-injected" not in headers
    assert "\n" not in error_of(said)["message"]
    logged = capsys.readouterr().err
    assert "request" in logged
    assert not any(line.startswith(("INFO forged", "x-injected")) for line in logged.splitlines())
    assert "\x1b[31m" not in logged


async def test_a_chunked_body_over_the_limit_is_413(wire: Wire, upstream: OpenAIUpstream) -> None:
    head = b"POST /v1/embeddings HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\n"
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    [(status, _, said)] = await wire.say(
        head + b"transfer-encoding: chunked\r\n\r\n", *[chunk] * 60
    )

    assert 413 == status
    assert "body_too_large" == error_of(said)["code"]
    assert [] == asked(upstream)
    await require_well(wire)


async def test_a_body_that_never_ends_is_given_up(wire: Wire) -> None:
    """It may hold its connection as long as a request may take, and no longer."""
    [(status, _, said)] = await wire.say(written(GOOD)[:-5])

    assert 408 == status
    assert error_of(said)["code"]
    await require_well(wire)


async def test_pipelined_requests_are_answered_in_order(wire: Wire) -> None:
    bodies = [json.dumps({"model": "short", "input": ["a"] * n}).encode() for n in (3, 1, 2)]
    replies = await wire.say(b"".join(map(written, bodies)), replies=3)

    assert [200] * 3 == [status for status, _, _ in replies]
    assert [3, 1, 2] == [len(json.loads(said)["data"]) for _, _, said in replies]


@pytest.mark.parametrize("method", [b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"PATCH"])
async def test_other_methods_are_405(wire: Wire, method: bytes) -> None:
    reader, writer = await asyncio.open_connection(*wire.address)
    writer.write(method + b" /v1/embeddings HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\r\n")
    async with asyncio.timeout(5):
        said = await reader.read()
    writer.close()

    assert said.startswith(b"HTTP/1.1 405 ")
    assert b"allow: POST" in said
    await require_well(wire)


@pytest.mark.parametrize("size", [2_000, 60_000, 2_000_000])
async def test_a_very_long_address_is_refused(wire: Wire, size: int) -> None:
    target = b"/v1/" + b"a" * size
    replies = await wire.say(written(b"{}", target=target))

    assert all(status in {400, 404, 414, 431} for status, _, _ in replies)
    assert all(len(said) < 2000 for _, _, said in replies)
    await require_well(wire)


@pytest.mark.parametrize(
    "said",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /v1/embeddings HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/embeddings HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n",
    ],
)
async def test_what_is_not_http_never_reaches_an_upstream(
    wire: Wire, upstream: OpenAIUpstream, said: bytes
) -> None:
    replies = await wire.say(said)

    assert all(status >= 400 for status, _, _ in replies)
    assert [] == asked(upstream)
    await require_well(wire)
