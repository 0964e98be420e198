"""When a connection carries another exchange, and when it must not."""

from __future__ import annotations

import asyncio
import gc
import warnings

import pytest

from doubles.speaker import answering, read_request, reply, speaking
from embedway_gateway.wire import WireTransport
from embedway_gateway.wire.address import place_of
from embedway_gateway.wire.dial import Dial
from embedway_gateway.wire.pool import Pool
from embedway_upstream import BadReply, HTTPCall, UpstreamUnreachable

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


def post(url: str, body: bytes = b"{}") -> HTTPCall:
    return HTTPCall("POST", url + "/v1/embeddings", {"content-type": "application/json"}, body)


@pytest.mark.parametrize(
    "junk", [b"x", reply(b"poison"), b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"\0" * 70_000]
)
async def test_junk_after_a_reply_never_becomes_the_next_one(
    wire: WireTransport, junk: bytes
) -> None:
    async with speaking(answering(reply(b"good") + junk)) as server:
        for _ in range(3):
            assert b"good" == (await wire.send(post(server.url))).body
        assert 3 == server.opened


@pytest.mark.parametrize("junk", [reply(b"poison"), b"HTTP/1.1 408 R\r\ncontent-length: 0\r\n\r\n"])
async def test_what_came_while_a_connection_was_idle_is_not_an_answer(
    wire: WireTransport, junk: bytes
) -> None:
    spoken = asyncio.Event()

    async def talk(reader: Reader, writer: Writer) -> None:
        while await read_request(reader):
            writer.write(reply(b"good"))
            await spoken.wait()
            writer.write(junk)

    async with speaking(talk) as server:
        assert b"good" == (await wire.send(post(server.url))).body
        spoken.set()
        # The server speaks within this turn of the loop, before the client can look.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert b"good" == (await wire.send(post(server.url))).body
        assert 2 == server.opened


@pytest.mark.parametrize("reset", [True, False])
async def test_an_idle_connection_that_was_closed_is_not_used(
    wire: WireTransport, reset: bool
) -> None:
    async def talk(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(reply(b"good"))
        await writer.drain()
        if reset:
            writer.transport.abort()

    async with speaking(talk) as server:
        for count in range(1, 4):
            assert b"good" == (await wire.send(post(server.url))).body
            assert count == server.opened


async def test_a_stream_that_was_closed_early_is_not_read_by_the_next_call(
    wire: WireTransport,
) -> None:
    half = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nold\r\n"

    async def talk(reader: Reader, writer: Writer) -> None:
        while request := await read_request(reader):
            writer.write(half if request[1] == b"old" else reply(b"new"))

    async with speaking(talk) as server:
        flow = await wire.open(post(server.url, b"old"))
        assert b"old" == await anext(flow.body)
        flow.body.close()
        assert b"new" == (await wire.send(post(server.url))).body
        with pytest.raises(UpstreamUnreachable):
            await anext(flow.body)


async def test_a_stream_that_is_all_here_keeps_its_pieces_from_the_next_call(
    wire: WireTransport,
) -> None:
    async def talk(reader: Reader, writer: Writer) -> None:
        while request := await read_request(reader):
            writer.write(reply(request[1]))

    async with speaking(talk) as server:
        flow = await wire.open(post(server.url, b"old"))
        flow.body.close()
        other = await wire.open(post(server.url, b"new"))
        assert [b"old"] == [piece async for piece in flow.body]
        assert [b"new"] == [piece async for piece in other.body]


async def test_a_stream_that_is_closed_while_it_is_held_back(wire: WireTransport) -> None:
    """All of it came, but the connection is told not to read: it must not be kept so."""
    async with speaking(answering(reply(b"x" * 300_000), reply(b"new"))) as server:
        flow = await wire.open(post(server.url))
        for _ in range(500):
            await asyncio.sleep(0)
        flow.body.close()
        async with asyncio.timeout(5):
            assert 200 == (await wire.open(post(server.url))).status


async def test_closing_a_stream_ends_who_reads_it(wire: WireTransport) -> None:
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    async with speaking(answering(head)) as server:
        flow = await wire.open(post(server.url))
        reading = asyncio.ensure_future(anext(flow.body))
        await asyncio.sleep(0)
        flow.body.close()
        with pytest.raises(UpstreamUnreachable):
            await reading


async def test_an_answer_before_the_request_was_read(wire: WireTransport) -> None:
    """The connection still holds the rest of the old request: it ends with the answer."""

    async def talk(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply(b"too large", status="413 Content Too Large"))
        await asyncio.Event().wait()

    async with speaking(talk) as server:
        for _ in range(2):
            answer = await wire.send(post(server.url, b"x" * 20_000_000))
            assert (413, b"too large") == (answer.status, answer.body)
        assert 2 == server.opened


@pytest.mark.parametrize("size", [100_000, 10_000_000])
async def test_an_answer_before_the_server_hangs_up_on_the_request(
    wire: WireTransport, size: int
) -> None:
    async def talk(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply(status="413 Content Too Large", more="connection: close\r\n"))
        # With so much unread, the system sends a reset after the answer.

    async with speaking(talk) as server:
        for _ in range(5):
            assert 413 == (await wire.send(post(server.url, b"x" * size))).status


async def test_a_server_that_only_ends_its_own_side(wire: WireTransport) -> None:
    async def talk(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\n\r\nuntil the end")
        writer.write_eof()
        await asyncio.Event().wait()

    async with speaking(talk) as server, asyncio.timeout(5):
        answer = await wire.send(post(server.url, b"x" * 20_000_000))
        assert (413, b"until the end") == (answer.status, answer.body)


async def test_a_body_that_a_reset_cuts_off_is_not_whole(wire: WireTransport) -> None:
    """Only the regular end of a connection ends a body without a length."""

    async def talk(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await read_request(reader)

    async with speaking(talk) as server:
        flow = await wire.open(post(server.url))
        assert b"half" == await anext(flow.body)
        server.reset()
        with pytest.raises(UpstreamUnreachable, match="broke"):
            await anext(flow.body)


async def test_idle_connections_are_closed_in_time() -> None:
    async with speaking(answering(reply(), reply())) as server:
        pool = Pool(Dial(), idle_seconds=0.05)
        origin, _, _ = place_of(server.url)
        both = [await pool.connect(origin) for _ in range(2)]
        for one in both:
            content = one.begin("GET", b"GET / HTTP/1.1\r\n\r\n", b"", most=9).content()
            assert b"{}" == await content
            pool.give(origin, one)
        await server.all_closed()
        assert pool.take(origin) is None
        await pool.close()


async def test_what_is_given_back_after_the_end_is_closed(wire: WireTransport) -> None:
    async with speaking(answering(reply())) as server:
        flow = await wire.open(post(server.url))
        assert b"{}" == await anext(flow.body)
        await wire.close()
        flow.body.close()
        await server.all_closed()
        with pytest.raises(UpstreamUnreachable):
            await wire.send(post(server.url))
        await server.all_closed()


async def test_closing_ends_calls_that_wait(wire: WireTransport) -> None:
    heard = asyncio.Event()

    async def talk(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        heard.set()
        await reader.read()

    async with speaking(talk) as server:
        call = asyncio.ensure_future(wire.send(post(server.url)))
        await heard.wait()
        await wire.close()
        with pytest.raises(UpstreamUnreachable):
            await call
        await server.all_closed()


async def test_nothing_is_left_open() -> None:
    async with speaking(answering(reply(), reply())) as server:
        transport = WireTransport()
        await asyncio.gather(*[transport.send(post(server.url)) for _ in range(5)])
        with pytest.raises(BadReply):
            await WireTransport(max_reply_bytes=1).send(post(server.url))
        await transport.close()
        await server.all_closed()
        del transport
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            gc.collect()
    assert [] == [one for one in told if issubclass(one.category, ResourceWarning)]
