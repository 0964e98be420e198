"""Connections that break: who is asked once more, and what is said of the upstream."""

from __future__ import annotations

import asyncio

import pytest

from doubles.speaker import answering, read_request, reply, speaking
from doubles.time import Time
from embedway_gateway.transport import AiohttpTransport
from embedway_gateway.wire import Carrier, WireTransport
from embedway_upstream import HTTPCall, UpstreamUnreachable

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


def post(url: str) -> HTTPCall:
    return HTTPCall("POST", url + "/v1/embeddings", {"content-type": "application/json"}, b"{}")


@pytest.mark.parametrize("reset", [False, True])
async def test_one_that_closes_in_the_moment_of_a_call_is_asked_once_more(
    carrier: Carrier, reset: bool
) -> None:
    async def talk(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(reply(b"good"))
        # The request is read, and not answered.
        if await read_request(reader) and reset:
            server.reset()

    async with speaking(talk) as server:
        for _ in range(3):
            assert b"good" == (await carrier.send(post(server.url))).body
        assert 3 == server.opened


@pytest.mark.parametrize("kind", [WireTransport, AiohttpTransport])
@pytest.mark.parametrize(("seconds", "again"), [(0.3, True), (0.8, False), (40.0, False)])
async def test_one_that_dies_while_it_works_is_not_given_the_same_again(
    kind: type[WireTransport | AiohttpTransport], seconds: float, again: bool
) -> None:
    """A connection that was closed as idle breaks at once; what breaks later may be the call's."""
    time, heard = Time(), []

    async def talk(reader: Reader, writer: Writer) -> None:
        while request := await read_request(reader):
            heard.append(request[1])
            if heard.count(b"deadly") == 1 and request[1] == b"deadly":
                time.now += seconds
                return
            writer.write(reply(b"good"))

    transport = kind(clock=time)
    async with speaking(talk) as server:
        await transport.send(post(server.url))
        deadly = HTTPCall("POST", server.url + "/v1/embeddings", {}, b"deadly")
        if again:
            assert b"good" == (await transport.send(deadly)).body
        else:
            with pytest.raises(UpstreamUnreachable, match="broke"):
                await transport.send(deadly)
        assert [b"{}", *[b"deadly"] * (1 + again)] == heard
        await transport.close()


async def test_one_that_closes_a_new_connection_is_not_asked_again(carrier: Carrier) -> None:
    async def talk(reader: Reader, writer: Writer) -> None:
        await read_request(reader)

    async with speaking(talk) as server:
        with pytest.raises(UpstreamUnreachable, match="broke") as caught:
            await carrier.send(post(server.url))
        assert 1 == server.opened
        assert caught.value.reached, "somebody listens there"


async def test_one_that_began_to_answer_is_not_asked_again(carrier: Carrier) -> None:
    async with speaking(answering(reply(b"good"), b"H", hang_up=True)) as server:
        await carrier.send(post(server.url))
        with pytest.raises(UpstreamUnreachable, match="broke") as caught:
            await carrier.send(post(server.url))
        assert 1 == server.opened
        assert caught.value.reached, "somebody listens there"


async def test_a_stream_is_never_asked_for_twice(carrier: Carrier) -> None:
    async def talk(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(reply(b"good"))
        await read_request(reader)

    async with speaking(talk) as server:
        await carrier.send(post(server.url))
        with pytest.raises(UpstreamUnreachable, match="broke") as caught:
            await carrier.open(post(server.url))
        assert 1 == server.opened
        assert caught.value.reached, "somebody listens there"


@pytest.mark.parametrize("begun", [b"", b"half"])
async def test_what_breaks_in_mid_reply_had_been_reached(carrier: Carrier, begun: bytes) -> None:
    half = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n" + begun
    async with speaking(answering(reply(b"good"), half, hang_up=True)) as server:
        await carrier.send(post(server.url))
        with pytest.raises(UpstreamUnreachable, match="broke") as caught:
            await carrier.send(post(server.url))
        await carrier.send(post(server.url))
        flow = await carrier.open(post(server.url))
        with pytest.raises(UpstreamUnreachable, match="broke") as streamed:
            [piece async for piece in flow.body]
        assert 2 == server.opened
        assert caught.value.reached
        assert streamed.value.reached
