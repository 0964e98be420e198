"""Connections that break: who is asked once more, and what is said of the upstream."""

from __future__ import annotations

import asyncio

import pytest

from doubles.speaker import answering, read_request, reply, speaking
from embedway_gateway.wire import Carrier
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
