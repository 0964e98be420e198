"""An answer is given when its client has it: whoever reads slowly gets all, who stops is let go."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from doubles.raw import Wire, read_reply
from doubles.serving import serving
from embedway_gateway.config.schema import ServerConfig

# More than the system buffers of it, so that most is in the gateway.
BODY = b"0123456789abcdef" * 2**19
ASK = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
SMALL = b"GET /small HTTP/1.1\r\nhost: x\r\n\r\n"


async def app(scope: Any, _receive: Any, send: Any) -> None:
    body = b"small" if scope["path"] == "/small" else BODY
    length = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def gateway(keep_alive: float = 75, **bounds: Any) -> AsyncIterator[Wire]:
    async with serving(app, bounds=ServerConfig(**bounds), keep_alive=keep_alive) as url:
        yield Wire(url)


async def ask(wire: Wire, request: bytes = ASK) -> socket.socket:
    """A client whose own buffer is small, after it has asked."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, wire.address)
    await loop.sock_sendall(client, request)
    return client


async def read(client: socket.socket, size: int, *, pause: float = 0.0) -> bytes:
    """So many bytes, or fewer if it ends before; reset is an end."""
    loop = asyncio.get_running_loop()
    said = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(20):
            while len(said) < size and (
                piece := await loop.sock_recv(client, min(256 * 1024, size - len(said)))
            ):
                said += piece
                await asyncio.sleep(pause)
    return said


async def all_of(client: socket.socket, *, pause: float = 0.0) -> bytes:
    """The body of one answer."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = await read(client, 1)
        assert byte, f"hung up after {head!r}"
        head += byte
    return await read(client, len(BODY), pause=pause)


@pytest.mark.parametrize("request_", [ASK, LAST])
async def test_whoever_reads_steadily_gets_all(request_: bytes) -> None:
    """However long it takes: longer than a connection may be idle."""
    async with gateway(keep_alive=0.1, send_timeout=3.0) as wire:
        client = await ask(wire, request_)
        with contextlib.closing(client):
            begun = asyncio.get_running_loop().time()
            assert BODY == await all_of(client, pause=0.006)
            assert asyncio.get_running_loop().time() - begun > 0.5


@pytest.mark.parametrize("request_", [ASK, LAST])
@pytest.mark.parametrize("taken", [0, len(BODY) // 2])
async def test_whoever_stops_is_let_go(request_: bytes, taken: int) -> None:
    async with gateway(send_timeout=0.2) as wire:
        client = await ask(wire, request_)
        with contextlib.closing(client):
            await read(client, taken)
            await asyncio.sleep(0.8)
            assert len(await read(client, 2 * len(BODY))) < len(BODY) - taken


async def test_whoever_still_reads_is_not_the_longest_idle() -> None:
    async with gateway(max_connections=2) as wire:
        client = await ask(wire)
        with contextlib.closing(client):
            head = await read(client, 1)
            idle, writer = await asyncio.open_connection(*wire.address)
            for _ in range(4):
                assert (200, b"small") == (await wire.say(SMALL))[0][::2]
            assert b"" == await idle.read()
            writer.close()
            rest = await all_of(client)
            assert b"H" == head
            assert BODY == rest


async def test_after_a_slow_answer_the_connection_waits_for_more_and_ends() -> None:
    async with gateway(keep_alive=2.0, send_timeout=10.0) as wire:
        client = await ask(wire)
        with contextlib.closing(client):
            assert BODY == await all_of(client, pause=0.005)
            await asyncio.get_running_loop().sock_sendall(client, ASK)
            assert BODY == await all_of(client)
            assert b"" == await read(client, 1)


async def test_of_two_requests_both_end_when_their_caller_goes() -> None:
    running: list[str] = []
    begun = asyncio.Event()

    async def slow(scope: Any, receive: Any, _send: Any) -> None:
        assert "http.request" == (await receive())["type"]
        running.append(scope["path"])
        begun.set()
        message = await receive()
        running.append(message["type"])

    async with serving(slow) as url:
        reader, writer = await asyncio.open_connection(*Wire(url).address)
        writer.write(SMALL + ASK)
        async with asyncio.timeout(5):
            await begun.wait()
            writer.transport.abort()
            while len(running) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert ["/small", "http.disconnect"] == running
        assert reader.at_eof() or await read_reply(reader) is None
