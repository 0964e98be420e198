"""A proxy that calls leave a network by."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from doubles.speaker import reply, speaking

__all__ = ["Proxy", "proxying"]


class Proxy:
    """
    Connects whoever knows the password, `me:secret`, to one port of this machine, whatever is asked
    for; `lines` are the heads that it was sent.
    """

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.lines: list[bytes] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.lines += head.split(b"\r\n")
        secret = base64.b64encode(b"me:secret")
        if b"proxy-authorization: basic " + secret.lower() not in head.lower():
            writer.write(b"HTTP/1.1 407 Who\r\ncontent-length: 0\r\n\r\n")
            return
        if not head.startswith(b"CONNECT "):
            writer.write(reply(b"carried"))
            await reader.read()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.wait(
            [
                asyncio.ensure_future(_carry(reader, back)),
                asyncio.ensure_future(_carry(there, writer)),
            ]
        )


@contextmanager
def proxying(proxy: Proxy) -> Iterator[int]:
    """The proxy's own port, for as long as the block runs."""
    up, ports = threading.Event(), list[int]()

    async def run() -> None:
        async with speaking(proxy.talk) as outside:
            ports.append(outside.port)
            ends.append((asyncio.get_running_loop(), over := asyncio.Event()))
            up.set()
            await over.wait()

    ends: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert up.wait(10)
    try:
        yield ports[0]
    finally:
        loop, over = ends[0]
        loop.call_soon_threadsafe(over.set)
        thread.join(10)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.transport.abort()
