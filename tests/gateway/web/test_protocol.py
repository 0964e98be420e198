"""Answers on the wire: a head goes with its body, and does not wait for one that is to come."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

from doubles.serving import serving

_LENGTH = [(b"content-length", b"5")]


async def _connect(root: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(root)
    return await asyncio.open_connection(parts.hostname, parts.port)


def _ask(method: str = "GET", more: str = "") -> bytes:
    return f"{method} / HTTP/1.1\r\nhost: x\r\n{more}\r\n".encode()


async def test_the_head_of_a_stream_arrives_before_its_first_piece() -> None:
    go = asyncio.Event()

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await go.wait()
        await send({"type": "http.response.body", "body": b"piece"})

    async with serving(app) as root:
        reader, writer = await _connect(root)
        writer.write(_ask())
        async with asyncio.timeout(5):
            head = await reader.readuntil(b"\r\n\r\n")
            go.set()
            rest = await reader.readuntil(b"0\r\n\r\n")
        writer.close()
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert rest == b"5\r\npiece\r\n0\r\n\r\n"


async def test_an_answer_without_a_body_arrives() -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _LENGTH})
        await send({"type": "http.response.body", "body": b"never"})

    async with serving(app) as root:
        reader, writer = await _connect(root)
        writer.write(_ask("HEAD"))
        async with asyncio.timeout(5):
            head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
    assert b"content-length: 5" in head


async def test_head_and_body_are_one_write_and_answers_keep_their_order() -> None:
    bodies = iter([b"first", b"\r\n\r\n\r\n\r", b"x" * 200_000])

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        body = next(bodies)
        length = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": body})

    async with serving(app) as root:
        reader, writer = await _connect(root)
        writer.write(_ask() + _ask() + _ask(more="connection: close\r\n"))
        async with asyncio.timeout(5):
            said = await reader.read()
        writer.close()
    one, two, three = (part for part in said.split(b"HTTP/1.1 200 OK\r\n") if part)
    assert one.endswith(b"\r\n\r\nfirst")
    assert two.endswith(b"\r\n\r\n" + b"\r\n\r\n\r\n\r")
    assert three.endswith(b"\r\n\r\n" + b"x" * 200_000)
