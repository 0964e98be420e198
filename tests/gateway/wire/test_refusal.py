"""Replies that are not to be trusted are refused, and their connection is closed."""

from __future__ import annotations

import asyncio

import pytest

from doubles.speaker import answering, read_request, reply, speaking
from embedway_gateway.wire import WireTransport
from embedway_upstream import BadReply, HTTPCall, UpstreamUnreachable

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
NOT_HTTP = "does not answer in HTTP/1.1"
HEADERS = "over 65536 bytes of headers"


def post(url: str, more: dict[str, str] | None = None) -> HTTPCall:
    return HTTPCall("POST", url + "/", {"content-type": "application/json", **(more or {})}, b"{}")


async def streamed(wire: WireTransport, url: str) -> bytes:
    flow = await wire.open(post(url))
    return await flow.body.read(10_000)


@pytest.mark.parametrize(
    ("said", "message"),
    {
        "both": (
            OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            NOT_HTTP,
        ),
        "both, turned": (
            OK + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n0\r\n\r\n",
            NOT_HTTP,
        ),
        "two lengths": (OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\nabc", NOT_HTTP),
        "a list of lengths": (OK + b"content-length: 2, 2\r\n\r\nab", NOT_HTTP),
        "a signed length": (OK + b"content-length: +2\r\n\r\nab", NOT_HTTP),
        "an endless length": (OK + b"content-length: 9" + b"9" * 30 + b"\r\n\r\nab", NOT_HTTP),
        "two codings": (
            OK + b"transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "more than one transfer-encoding",
        ),
        "another coding": (
            OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "a transfer-encoding other than chunked",
        ),
        "an unknown coding": (
            OK + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
            "a transfer-encoding other than chunked",
        ),
        "a folded header": (OK + b"x: a\r\n b\r\ncontent-length: 0\r\n\r\n", NOT_HTTP),
        "a space before the colon": (OK + b"content-length : 2\r\n\r\nab", NOT_HTTP),
        "a bare line feed": (OK + b"content-length: 2\nx: y\n\nab", NOT_HTTP),
        "a zero byte": (OK + b"x: a\0b\r\ncontent-length: 0\r\n\r\n", NOT_HTTP),
        "a wrong chunk": (CHUNKED + b"2\r\nabc\r\n0\r\n\r\n", NOT_HTTP),
        "a signed chunk": (CHUNKED + b"+2\r\nab\r\n0\r\n\r\n", NOT_HTTP),
        "an endless chunk": (CHUNKED + b"f" * 20 + b"\r\nab\r\n", NOT_HTTP),
        "another protocol": (b"SSH-2.0-OpenSSH_9.6\r\n", NOT_HTTP),
        "HTTP/2": (b"\0\0\x12\4\0\0\0\0\0\0\3", NOT_HTTP),
        "no status": (b"HTTP/1.1 OK\r\n\r\n", NOT_HTTP),
        "an upgrade": (
            b"HTTP/1.1 101 S\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n" + reply(b"poison"),
            "changes the protocol",
        ),
        "a bomb of headers": (OK + b"x: y\r\n" * 50_000 + b"\r\n", HEADERS),
        "one large header": (OK + b"x: " + b"y" * 66_000 + b"\r\n\r\n", HEADERS),
        "a header without end": (OK + b"x: " + b"y" * 500_000, HEADERS),
        "a reason without end": (b"HTTP/1.1 200 " + b"y" * 500_000, HEADERS),
        "interim replies without end": (b"HTTP/1.1 103 E\r\n\r\n" * 30_000, HEADERS),
        "trailers without end": (CHUNKED + b"0\r\nx: " + b"y" * 500_000, HEADERS),
        "marks without end": (CHUNKED + b"1;" + b"y" * 500_000, HEADERS),
        "compressed": (
            reply(b"\x1f\x8b", more="content-encoding: gzip\r\n"),
            "answer without content-encoding",
        ),
    }.values(),
)
async def test_replies_that_cannot_be_trusted(
    wire: WireTransport, said: bytes, message: str
) -> None:
    async with speaking(answering(said)) as server:
        with pytest.raises(BadReply, match=message):
            await wire.send(post(server.url))
        await server.all_closed()
        with pytest.raises(BadReply, match=message):
            await streamed(wire, server.url)
        await server.all_closed()


async def test_a_failure_is_told_though_it_is_compressed(wire: WireTransport) -> None:
    said = reply(b"\x1f\x8b", status="429 Slow", more="content-encoding: gzip\r\n")
    async with speaking(answering(said)) as server:
        assert 429 == (await wire.send(post(server.url))).status


async def test_chunks_of_one_byte_are_no_bomb(wire: WireTransport) -> None:
    said = CHUNKED + b"1\r\na\r\n" * 90_000 + b"0\r\n\r\n"
    async with speaking(answering(said)) as server:
        assert b"a" * 90_000 == (await wire.send(post(server.url))).body


async def test_a_reader_that_is_slow_slows_the_server(wire: WireTransport) -> None:
    piece = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    sent = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(CHUNKED)
        for _ in range(1000):
            writer.write(piece)
            await writer.drain()
            sent += 1
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        await reader.read()

    async with speaking(talk) as server:
        flow = await wire.open(post(server.url))
        # Time enough for the loop to carry all of it many times over.
        for _ in range(5000):
            await asyncio.sleep(0)
        assert 0 < sent < 500
        size = sum([len(one) async for one in flow.body])

    assert (1000 * 0x8000, 1000) == (size, sent)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"x": "a\r\nevil: 1"}, "line break"),
        ({"x": "a\nb"}, "line break"),
        ({"x": "a\rb"}, "line break"),
        ({"x": "a\0b"}, "line break"),
        ({"x\r\nevil": "1"}, "must not have"),
        ({"x y": "1"}, "must not have"),
        ({"": "1"}, "must not have"),
        ({"x": "€"}, "not Latin-1"),
        ({"content-length": "3"}, "content-length is not the body's"),
        ({"Content-Length": "3"}, "content-length is not the body's"),
        ({"transfer-encoding": "chunked"}, "not the caller's to give"),
        ({"Content-Type": "text/plain"}, "given twice"),
    ],
)
async def test_requests_that_could_be_read_as_two(
    wire: WireTransport, headers: dict[str, str], message: str
) -> None:
    async with speaking(answering()) as server:
        with pytest.raises(UpstreamUnreachable, match=message):
            await wire.send(post(server.url, headers))
        assert 0 == server.opened


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/",
        "http://",
        "http://h:x/",
        "http://[::1/",
        "http://h:99999/",
        "http://u:secret@h/",
        "http://h/a b",
        "http://h/ü",
        "http://ü/",
        "http://h h/",
    ],
)
async def test_addresses_that_cannot_be_called(wire: WireTransport, url: str) -> None:
    with pytest.raises(UpstreamUnreachable, match="`url:`") as caught:
        await wire.send(HTTPCall("GET", url, {}, b""))
    assert "secret" not in str(caught.value)
