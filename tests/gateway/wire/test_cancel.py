"""Whoever gives up leaves nothing behind: no connection, and no reply for another call."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket

import psutil
import pytest

from doubles.speaker import Speaker, Talk, read_request, speaking
from embedway_gateway.wire import WireTransport
from embedway_gateway.wire.address import place_of
from embedway_gateway.wire.dial import Dial
from embedway_upstream import HTTPCall, UpstreamUnreachable

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


def tagged(server: Speaker, tag: int) -> HTTPCall:
    return HTTPCall("POST", f"{server.url}/", {}, f"{tag}".encode())


def echo(chance: random.Random, *, rude: bool) -> Talk:
    """Says the tag of the request, in a few pieces; a rude one also hangs up in between."""

    async def talk(reader: Reader, writer: Writer) -> None:
        while request := await read_request(reader):
            tag = request[1]
            if chance.random() < 0.5:
                said = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(tag), tag)
            else:
                said = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
                said += b"".join(b"1\r\n%c\r\n" % one for one in tag) + b"0\r\n\r\n"
            cut = chance.randrange(len(said) + 1)
            for piece in (said[:cut], said[cut:]):
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
                if rude and chance.random() < 0.1:
                    return
                writer.write(piece)
                await writer.drain()

    return talk


async def one(
    wire: WireTransport, server: Speaker, tag: int, chance: random.Random, answers: list[int]
) -> None:
    """A call of any kind, which may be cancelled after any number of turns of the loop."""
    kind, turns = chance.choice(["send", "open", "peep"]), chance.randrange(40)

    async def call() -> None:
        if kind == "send":
            body = (await wire.send(tagged(server, tag))).body
        else:
            flow = await wire.open(tagged(server, tag))
            try:
                if kind == "peep":
                    assert f"{tag}".encode().startswith(await anext(flow.body))
                    return
                body = await flow.body.read(100)
            finally:
                flow.body.close()
        assert f"{tag}".encode() == body
        answers.append(tag)

    task = asyncio.ensure_future(call())
    if chance.random() < 0.5:
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError, UpstreamUnreachable):
        await task


@pytest.mark.parametrize("rude", [False, True])
@pytest.mark.parametrize("seed", range(5))
async def test_a_reply_belongs_to_its_call(wire: WireTransport, seed: int, rude: bool) -> None:
    chance = random.Random(seed)
    answers: list[int] = []
    async with speaking(echo(chance, rude=rude)) as server:

        async def client(number: int) -> None:
            for count in range(60):
                await one(wire, server, 1000 * number + count, chance, answers)

        await asyncio.gather(*[client(number) for number in range(8)])
        await wire.close()
        await server.all_closed()

    assert len(answers) > 50


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_who_gives_up_connecting_leaves_no_socket(scheme: str) -> None:
    """The server listens, and never shakes hands."""
    counts: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        origin, _, _ = place_of(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/")
        for turns in [*range(12)] * 3:
            task = asyncio.ensure_future(Dial().connect(origin))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result().abort()
            for _ in range(5):
                await asyncio.sleep(0)
            counts.append(psutil.Process().num_fds())
    # The first round opens what the event loop keeps for itself; the last may still be closing.
    assert counts[-1] < counts[11] + 6


async def test_who_gives_up_within_the_handshake_hangs_up() -> None:
    heard = asyncio.Event()

    async def talk(reader: Reader, writer: Writer) -> None:
        await reader.readexactly(1)
        heard.set()
        await reader.read()

    async with speaking(talk) as server:
        origin, _, _ = place_of(server.url.replace("http:", "https:"))
        task = asyncio.ensure_future(Dial().connect(origin))
        await heard.wait()
        task.cancel()
        await asyncio.wait([task])
        await server.all_closed()


async def test_one_that_gives_up_does_not_end_the_look_up_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, answer = 0, asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        there = listener.getsockname()

        async def look_up(*_: object) -> list[object]:
            nonlocal asked
            asked += 1
            await answer.wait()
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", there)]

        dial = Dial()
        monkeypatch.setattr("embedway_gateway.wire.dial._addresses", look_up)
        origin, _, _ = place_of("http://name.example/")
        both = [asyncio.ensure_future(dial.connect(origin)) for _ in range(2)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        both[0].cancel()
        await asyncio.sleep(0)
        answer.set()
        (await both[1]).abort()

    assert (1, True) == (asked, both[0].cancelled())
