"""A server on loopback that says exactly the bytes that a test wants."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

__all__ = ["Speaker", "Talk", "answering", "read_request", "reply", "speaking"]

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Speaker:
    """`url` is its address; `opened` and `closed` count connections."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._change = asyncio.Condition()
        self.url = ""
        self.port = 0
        self.opened = 0
        self.closed = 0

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.opened += 1
        try:
            await self._talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # Cancelled by `end`: asyncio would report a task that ends so.
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.transport.abort()
            async with self._change:
                self.closed += 1
                self._change.notify_all()

    def reset(self) -> None:
        """Break all connections, as a server that falls over does."""
        for writer in self._writers:
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def all_closed(self) -> None:
        """Return when there is no connection any more."""
        async with asyncio.timeout(5), self._change:
            await self._change.wait_for(lambda: self.closed == self.opened)

    async def end(self) -> None:
        for task in list(self._tasks):
            task.cancel()
            await asyncio.wait([task])


@asynccontextmanager
async def speaking(talk: Talk, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Speaker]:
    """The server, for as long as the block runs."""
    speaker = Speaker(talk)
    server = await asyncio.start_server(speaker.speak, "127.0.0.1", 0, ssl=tls)
    speaker.port = server.sockets[0].getsockname()[1]
    speaker.url = f"{'https' if tls else 'http'}://127.0.0.1:{speaker.port}"
    try:
        yield speaker
    finally:
        server.close()
        await speaker.end()


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes] | None:
    """Head and body of the next one; None when the client has hung up."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    size = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            size = int(line.partition(b":")[2])
    return head, await reader.readexactly(size)


def answering(*replies: bytes, hang_up: bool = False) -> Talk:
    """Says one after the other, one a request, on every connection; then waits, or hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for one in replies:
            if await read_request(reader) is None:
                return
            writer.write(one)
            await writer.drain()
        if hang_up:
            writer.close()
            await writer.wait_closed()
        else:
            await reader.read()

    return talk


def reply(body: bytes = b"{}", *, status: str = "200 OK", more: str = "") -> bytes:
    """A sized one; `more` are further header lines."""
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{more}\r\n".encode() + body
