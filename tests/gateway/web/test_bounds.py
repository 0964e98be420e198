"""What a client may cost on the wire: whatever it does, others are served, and memory is flat."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import psutil
import pytest

from doubles.openai_upstream import OpenAIUpstream
from doubles.raw import Wire, read_reply, written
from doubles.serving import serving
from embedway_gateway.config.schema import Config
from embedway_gateway.web.app import create_app
from embedway_gateway.web.crowd import Crowd

GOOD = b'{"model":"short","input":"a"}'
HEAD = b"POST /v1/embeddings HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n"
BOUNDS = {
    "max_connections": 12,
    "max_header_bytes": 16_384,
    "header_timeout": 0.8,
    "body_timeout": 0.6,
    "send_timeout": 0.3,
}
# What a process may grow by while it is attacked; each attack sends or asks for far more.
MEMORY = 24 * 2**20


@contextlib.asynccontextmanager
async def gateway(config: Config, **server: Any) -> AsyncIterator[Wire]:
    values = config.server.model_copy(update={**BOUNDS, **server})
    async with serving(create_app(config.model_copy(update={"server": values}))) as url:
        yield Wire(url)


@pytest.fixture
async def wire(config: Config, upstream: OpenAIUpstream) -> AsyncIterator[Wire]:
    async with gateway(config) as one:
        await one.post(GOOD)
        yield one


@contextlib.contextmanager
def flat() -> Iterator[None]:
    """Client and gateway are in this process: what either keeps is seen."""
    before = psutil.Process().memory_info().rss
    yield
    assert psutil.Process().memory_info().rss - before < MEMORY


async def require_well(wire: Wire) -> None:
    async with asyncio.timeout(5):
        assert 200 == (await wire.post(GOOD))[0]


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def require_none_held(count: int = 0) -> None:
    """Tasks that run for clients, after a while."""
    async with asyncio.timeout(10):
        await until(lambda: sum("run_asgi" in repr(task) for task in asyncio.all_tasks()) <= count)


def code_of(body: bytes) -> str:
    code: str = json.loads(body)["error"]["code"]
    return code


async def end_of(reader: asyncio.StreamReader) -> bytes:
    """All that it says until it hangs up, which it must."""
    said = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(8):
            while piece := await reader.read(65536):
                said += piece
    return said


async def drip(writer: asyncio.StreamWriter, *, every: float = 0.02) -> None:
    """A byte now and then, for as long as anybody hears them."""
    with contextlib.suppress(ConnectionError):
        while not writer.is_closing():
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(every)


async def dripped(wire: Wire, begin: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*wire.address)
    writer.write(begin)
    dripping = asyncio.create_task(drip(writer))
    try:
        return await end_of(reader)
    finally:
        dripping.cancel()
        writer.transport.abort()


async def pour(writer: asyncio.StreamWriter, piece: bytes, *, times: int) -> None:
    """As much of it as anybody takes."""
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(1):
            for _ in range(times):
                writer.write(piece)
                await writer.drain()


# Slow ones


@pytest.mark.parametrize("begin", [b"POST /v1/emb", HEAD + b"x-slow: "])
async def test_a_head_that_drips_in_is_given_up(wire: Wire, begin: bytes) -> None:
    said = await dripped(wire, begin)

    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"header_timeout" in said
    assert b"connection: close" in said
    await require_well(wire)


@pytest.mark.parametrize("begin", [b"", b"\r\n\r\n"])
async def test_a_connection_that_asks_nothing_is_closed(wire: Wire, begin: bytes) -> None:
    reader, writer = await asyncio.open_connection(*wire.address)
    writer.write(begin)

    assert b"" == await end_of(reader)
    writer.close()


async def test_the_clock_of_a_head_runs_for_each_request(wire: Wire) -> None:
    reader, writer = await asyncio.open_connection(*wire.address)
    for _ in range(2):
        writer.write(written(GOOD)[:9])
        await asyncio.sleep(0.1)
        writer.write(written(GOOD)[9:])
        reply = await read_reply(reader)
        assert reply is not None
        assert 200 == reply[0]
    # Longer than a head may take: who is idle has the time of an idle connection.
    await asyncio.sleep(BOUNDS["header_timeout"] * 1.5)
    writer.write(written(GOOD))
    reply = await read_reply(reader)
    assert reply is not None
    assert 200 == reply[0]
    writer.write(b"POST /v1/emb")
    assert (await end_of(reader)).startswith(b"HTTP/1.1 408 ")
    writer.close()


@pytest.mark.parametrize(
    "begin", [HEAD + b"content-length: 9999\r\n\r\n", CHUNKED + b"\r\n1000\r\n"]
)
async def test_a_body_that_drips_in_is_given_up(
    wire: Wire, upstream: OpenAIUpstream, begin: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedway_gateway.web.bounded._REST", 0.2)
    upstream.seen.clear()
    said = await dripped(wire, begin)

    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"body_timeout" in said
    assert [] == upstream.seen
    await require_none_held()
    await require_well(wire)


async def test_a_refused_body_may_not_drip_on_for_ever(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedway_gateway.web.bounded._REST", 0.2)
    said = await dripped(wire, HEAD + b"content-length: 99999999\r\n\r\n")

    assert said.startswith(b"HTTP/1.1 413 ")
    await require_well(wire)


async def test_an_answer_that_nobody_takes_is_given_up(wire: Wire) -> None:
    """Its bytes would stay in memory for as long as the client likes."""
    body = json.dumps({"model": "short", "input": [f"{n}" for n in range(2048)]}).encode()
    _, writer = await asyncio.open_connection(*wire.address, limit=1024)
    writer.write(written(body) * 40)
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(10):
            while not writer.is_closing():
                # Its end is seen when something is sent.
                writer.write(b"\r\n")
                await writer.drain()
                await asyncio.sleep(0.05)
    writer.transport.abort()
    await require_none_held()
    await require_well(wire)


# Large ones


@pytest.mark.parametrize(
    ("begin", "piece"),
    [(b"x: ", b"a" * 1000), (b"", b"x: y\r\n" * 100), (b"", b"a" * 1000), (b"x: y\r\n" * 129, b"")],
    ids=["one value", "many", "one name", "a few too many"],
)
async def test_headers_without_end_are_431(
    wire: Wire, upstream: OpenAIUpstream, begin: bytes, piece: bytes
) -> None:
    upstream.seen.clear()
    reader, writer = await asyncio.open_connection(*wire.address)
    with flat():
        writer.write(HEAD + begin)
        await pour(writer, piece, times=50_000)
        writer.write(b"\r\n\r\n")
        said = await end_of(reader)
    writer.transport.abort()

    assert said.startswith(b"HTTP/1.1 431 "), said
    assert b"headers_too_large" in said
    assert b"connection: close" in said
    assert [] == upstream.seen
    await require_well(wire)


async def test_headers_of_the_size_that_is_allowed_pass(wire: Wire) -> None:
    lines = [b"x-%d: %s" % (n, b"a" * 120) for n in range(100)]

    assert 200 == (await wire.post(GOOD, *lines))[0]


async def test_a_head_behind_the_end_of_a_large_body_passes(wire: Wire) -> None:
    """One read takes the end of a body, more than a head may have, and begins the next head."""
    large = written(b'{"model":"short","input":"a","user":"%s"}' % (b"a" * 40_000))
    reader, writer = await asyncio.open_connection(*wire.address)
    for piece in (large[:9_000], large[9_000:] + written(GOOD)[:30], written(GOOD)[30:]):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.05)
    replies = [await read_reply(reader) for _ in range(2)]
    writer.close()

    assert [200, 200] == [reply and reply[0] for reply in replies]


async def test_a_request_that_waits_for_another_is_not_slow(
    wire: Wire, upstream: OpenAIUpstream
) -> None:
    upstream.delay = 1.25 * BOUNDS["header_timeout"]
    reader, writer = await asyncio.open_connection(*wire.address)
    first, second = (written(b'{"model":"short","input":"%s"}' % text) for text in (b"x", b"y"))
    with contextlib.closing(writer):
        writer.write(first + second[:50])
        assert 200 == (await read_reply(reader) or [0])[0]
        upstream.delay = 0.0
        writer.write(second[50:])
        assert 200 == (await read_reply(reader) or [0])[0]


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        pytest.param(b"0\r\n", b"x: y\r\n" * 100, id="trailers"),
        pytest.param(b"0\r\nx: ", b"a" * 1000, id="one trailer"),
        pytest.param(b"1;", b"a" * 1000, id="an extension"),
        pytest.param(b"", b"0" * 1000, id="a size of zeros"),
    ],
)
async def test_what_stands_between_chunks_is_bounded(
    wire: Wire, begin: bytes, piece: bytes
) -> None:
    reader, writer = await asyncio.open_connection(*wire.address)
    with flat():
        writer.write(CHUNKED + b"\r\n1d\r\n" + GOOD + b"\r\n" + begin)
        await pour(writer, piece, times=50_000)
        said = await end_of(reader)
    writer.transport.abort()

    assert said.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 ")), said
    await require_none_held()
    await require_well(wire)


async def test_a_trailer_is_no_header(wire: Wire) -> None:
    body = b"1d\r\n" + GOOD + b"\r\n0\r\nx-request-id: planted\r\ncontent-encoding: gzip\r\n\r\n"
    [(status, headers, _)] = await wire.say(CHUNKED + b"\r\n" + body)

    assert 200 == status
    assert "planted" != headers["x-request-id"]


async def test_compressed_bodies_are_refused_unopened(wire: Wire, upstream: OpenAIUpstream) -> None:
    large = b'{"model":"short","input":"' + b"a" * 20_000_000 + b'"}'
    bombs = {b"gzip": gzip.compress(large), b"deflate": zlib.compress(large), b"br": b"x" * 9000}
    upstream.seen.clear()
    with flat():
        for encoding, bomb in bombs.items():
            status, _, said = await wire.post(bomb, b"content-encoding: " + encoding)
            assert (415, "unsupported_content_encoding") == (status, code_of(said))
    assert [] == upstream.seen


# Many


async def test_over_the_most_connections_the_longest_idle_goes_first(config: Config) -> None:
    async with gateway(config, header_timeout=30.0) as wire, contextlib.AsyncExitStack():
        idle = [await asyncio.open_connection(*wire.address) for _ in range(12)]
        # The first two are used, and so idle for a shorter time than the others.
        for reader, writer in idle[:2]:
            writer.write(written(GOOD))
            assert await read_reply(reader) is not None
        await require_well(wire)

        assert b"" == await end_of(idle[2][0])
        for reader, writer in idle[:2]:
            writer.write(written(GOOD))
            reply = await read_reply(reader)
            assert reply is not None
            assert 200 == reply[0]
        for _, writer in idle:
            writer.transport.abort()


async def test_while_all_connections_are_busy_another_gets_503(
    config: Config, upstream: OpenAIUpstream
) -> None:
    async with gateway(config, header_timeout=30.0) as wire:
        await wire.post(GOOD)
        upstream.delay = 0.5
        busy = [await asyncio.open_connection(*wire.address) for _ in range(12)]
        for number, (_, writer) in enumerate(busy):
            writer.write(written(b'{"model":"short","input":"%d"}' % number))
        async with asyncio.timeout(5):
            await until(lambda: upstream.running > 0)
        for _ in range(20):
            [(status, headers, said)] = await wire.say(written(GOOD))
            assert (503, "too_many_connections") == (status, code_of(said))
            assert ("1", "true") == (headers["retry-after"], headers["x-should-retry"])
        for reader, writer in busy:
            reply = await read_reply(reader)
            assert reply is not None
            assert 200 == reply[0]
            writer.close()
        upstream.delay = 0.0
        await require_well(wire)


async def test_a_flood_of_connections_leaves_nothing_behind(wire: Wire) -> None:
    await require_well(wire)
    before = psutil.Process().num_fds()
    with flat(), ExitStack() as stack:
        for _ in range(400):
            one = socket.create_connection(wire.address)
            stack.callback(one.close)
            await asyncio.sleep(0)
        await require_well(wire)
    async with asyncio.timeout(5):
        await until(lambda: psutil.Process().num_fds() <= before + 2)


async def test_endless_pipelining_waits_its_turn(wire: Wire, upstream: OpenAIUpstream) -> None:
    """What is not answered is not read: the client waits, not the gateway's memory."""
    upstream.delay = 0.2
    _, writer = await asyncio.open_connection(*wire.address)
    with flat():
        piece = written(b'{"model":"short","input":"%s"}' % (b"a " * 5000))
        await pour(writer, piece, times=20_000)
    upstream.delay = 0.0
    writer.transport.abort()
    await require_none_held()
    await require_well(wire)


async def test_of_thousands_at_once_on_a_connection_the_first_are_answered(wire: Wire) -> None:
    """One read can hold so many; each costs more here than it did to send."""
    reader, writer = await asyncio.open_connection(*wire.address)
    with flat():
        writer.write(b"GET /healthz HTTP/1.1\r\n\r\n" * 5000)
        heard = await end_of(reader)
    writer.transport.abort()

    assert 128 == heard.count(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 429 " in heard
    assert heard.endswith(b'"code":"overloaded"}}')
    await require_well(wire)


def test_the_log_tells_of_refused_connections_now_and_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 100.0
    crowd = Crowd[int](lambda: now)
    for _ in range(50):
        crowd.refuse(7)
    now = 111.0
    crowd.refuse(7)

    assert ["1 connection(s)", "50 connection(s)"] == [
        record.getMessage().partition(" refused")[0] for record in caplog.records
    ]


# Sly ones

SECOND = b"GET /healthz HTTP/1.1\r\nhost: g\r\n\r\n"
SMUGGLING = {
    "two lengths": HEAD + b"content-length: 29\r\ncontent-length: 0\r\n\r\n" + GOOD,
    "the same length twice": HEAD + b"content-length: 29\r\ncontent-length: 29\r\n\r\n" + GOOD,
    "a list of lengths": HEAD + b"content-length: 29, 29\r\n\r\n" + GOOD,
    "a signed length": HEAD + b"content-length: +29\r\n\r\n" + GOOD,
    "a hexadecimal length": HEAD + b"content-length: 0x1d\r\n\r\n" + GOOD,
    "a length beyond 2**64": HEAD + b"content-length: 18446744073709551645\r\n\r\n" + GOOD,
    "length and chunked": CHUNKED + b"content-length: 5\r\n\r\n0\r\n\r\n" + SECOND,
    "chunked and length": HEAD
    + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked not last": HEAD + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunked misspelt": HEAD + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a blank before the colon": HEAD + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded header": HEAD + b"x: a\r\n b\r\ncontent-length: 29\r\n\r\n" + GOOD,
    "bare LF": (HEAD + b"content-length: 29\r\n\r\n" + GOOD).replace(b"\r\n", b"\n"),
    "bare CR": HEAD + b"x: a\rcontent-length: 29\r\n\r\n" + GOOD,
    "NUL in a value": HEAD + b"x: a\0b\r\ncontent-length: 29\r\n\r\n" + GOOD,
    "a chunk beyond 2**64": CHUNKED + b"\r\nfffffffffffffffff\r\n",
    "a negative chunk": CHUNKED + b"\r\n-1\r\n",
    "a chunk longer than said": CHUNKED + b"\r\n1\r\n" + GOOD + b"\r\n0\r\n\r\n",
    "chunks ended by LF": CHUNKED + b"\r\n1d\n" + GOOD + b"\n0\n\n",
    "no version": b"POST /v1/embeddings\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    "CONNECT": b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com\r\n\r\n",
    "authority-form": b"POST example.com:80 HTTP/1.1\r\nhost: g\r\ncontent-length: 0\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
}


async def test_what_can_be_read_two_ways_is_read_in_none(
    wire: Wire, upstream: OpenAIUpstream
) -> None:
    """And what follows it is not believed either."""
    upstream.seen.clear()
    for name, said in SMUGGLING.items():
        reader, writer = await asyncio.open_connection(*wire.address)
        writer.write(said + SECOND)
        heard = await end_of(reader)
        writer.transport.abort()

        assert heard.startswith(b"HTTP/1.1 400 "), (name, heard)
        assert 1 == heard.count(b"HTTP/1.1 "), name
        assert "not_http" == code_of(heard.partition(b"\r\n\r\n")[2]), name
        await require_none_held()
    assert [] == upstream.seen
    await require_well(wire)


async def test_what_was_asked_before_the_nonsense_is_answered(wire: Wire) -> None:
    reader, writer = await asyncio.open_connection(*wire.address)
    writer.write(written(GOOD) * 3 + b"nonsense\r\n\r\n")
    replies = [await read_reply(reader) for _ in range(4)]

    assert [200, 200, 200, 400] == [reply and reply[0] for reply in replies]
    assert b"" == await end_of(reader)
    writer.close()


async def test_an_absolute_target_chooses_no_other_host(
    wire: Wire, upstream: OpenAIUpstream
) -> None:
    """As RFC 9112 §3.2.2 wants it: the same as its path."""
    said = written(GOOD, target=b"http://169.254.169.254/v1/embeddings")
    [(status, headers, _)] = await wire.say(said)

    assert 200 == status
    assert "one" == headers["x-embedway-upstream"]


@pytest.mark.parametrize("token", [b"websocket", b"h2c", b"websocket, h2c"])
async def test_an_upgrade_is_left_unheard(wire: Wire, token: bytes) -> None:
    lines = b"connection: upgrade\r\nupgrade: " + token + b"\r\n"
    lines += b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    ask = b"GET /healthz HTTP/1.1\r\nhost: g\r\n" + lines + b"\r\n"
    post = HEAD + lines + b"content-length: 29\r\n\r\n" + GOOD
    replies = await wire.say(post + ask + post, replies=3)

    assert [200, 200, 200] == [status for status, _, _ in replies]


async def test_who_hangs_up_half_holds_nothing(wire: Wire, upstream: OpenAIUpstream) -> None:
    upstream.delay = 5.0
    reader, writer = await asyncio.open_connection(*wire.address)
    writer.write(written(GOOD))
    writer.write_eof()
    await end_of(reader)
    writer.close()

    await require_none_held()
    upstream.delay = 0.0
    await require_well(wire)


# Headers, both ways

PLANTED = [
    *(b"x-forwarded-for: 1.2.3.4", b"cookie: planted=1", b"x-planted: planted", b"te: trailers"),
    *(b"x-api-key: planted", b"openai-organization: planted", b"forwarded: for=planted"),
    *(b"proxy-authorization: Basic planted", b"authorization: Bearer planted"),
    *(b"route: /planted", b"ai-resource-group: planted", b"expect: 100-continue"),
]
SENT = {"accept", "authorization", "content-length", "content-type", "host", "accept-encoding"}
ANSWERED = {
    *("content-type", "content-length", "x-request-id"),
    *("x-embedway-upstream", "x-embedway-vector-space"),
}


async def test_of_a_clients_headers_none_reaches_the_upstream(
    wire: Wire, upstream: OpenAIUpstream
) -> None:
    upstream.seen.clear()
    replies = await wire.say(written(GOOD, *PLANTED), replies=2)

    assert 200 == replies[-1][0]
    [seen] = upstream.seen
    assert "planted" not in repr(seen.headers)
    assert set(seen.headers) <= SENT | {"user-agent"}, set(seen.headers)
    assert seen.headers["authorization"] == "Bearer s3cret-token"


class Talkative(OpenAIUpstream):
    """Says more in its headers than it should."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def say(message: Any) -> None:
            if message["type"] == "http.response.start":
                planted = [
                    *((b"set-cookie", b"planted=1"), (b"server", b"planted"), (b"via", b"planted")),
                    *((b"x-planted", b"planted"), (b"location", b"http://planted/")),
                    *((b"x-request-id", b"planted"), (b"x-embedway-upstream", b"planted")),
                    *((b"access-control-allow-origin", b"planted"), (b"content-encoding", b"")),
                ]
                message = {**message, "headers": [*message["headers"], *planted]}
            await send(message)

        await super().__call__(scope, receive, say)


@pytest.mark.parametrize("fault", [None, 400, 401, 429, 500])
async def test_of_an_upstreams_headers_none_reaches_the_client(config: Config, fault: Any) -> None:
    talkative = Talkative()
    async with serving(talkative) as url:
        [model] = config.models
        [one] = model.upstreams
        there = model.model_copy(update={"upstreams": (one.model_copy(update={"url": url}),)})
        async with gateway(config.model_copy(update={"models": (there,)})) as wire:
            await require_well(wire)
            if fault is not None:
                talkative.faults.extend([fault] * 20)
            status, headers, said = await wire.post(b'{"model":"short","input":"b"}')

    assert (status == 200) == (fault is None)
    assert "planted" not in repr(headers)
    assert b"planted" not in said
    assert set(headers) <= ANSWERED | {"x-should-retry", "retry-after"}
    if fault is None:
        assert np.isfinite(json.loads(said)["data"][0]["embedding"]).all()
