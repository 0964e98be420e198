"""A replica on loopback, an engine's stand-in inside, that fails for as long as a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Any, Self, TypeAlias

from doubles.engine_server import Answer, Asked, EngineServer, dump
from doubles.speaker import read_request
from doubles.spoiled import spoil

__all__ = ["ON_THE_WIRE", "Fault", "Replica"]

Fault: TypeAlias = str | int | tuple[int, dict[str, str], bytes]
"""A status, one with headers and body, or a word of `ON_THE_WIRE` or of `spoiled`."""

ON_THE_WIRE = (
    *("reset", "reset in body", "hung up", "short", "garbage", "twice", "slow", "hang"),
    "in pieces",
)


class Replica:
    """
    An HTTP server of the running event loop. Each call meets what `fault` says at that moment;
    None is to behave. `salt` of the engine is read when a call arrives: one that is under way
    when it changes still gets the old vectors.
    """

    def __init__(self, engine: EngineServer, *, slow: float = 0.03) -> None:
        self.engine = engine
        self.fault: Callable[[], Fault | None] = lambda: None
        self.calls = 0
        self.url = ""
        self._slow = slow
        self._address = ("127.0.0.1", 0)
        # Nobody else is given its port while it is gone: it is bound, and does not listen.
        self._kept = socket.socket()
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.StreamWriter, asyncio.Task[Any]] = {}

    async def __aenter__(self) -> Self:
        self._kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._kept.bind(self._address)
        self._address = self._kept.getsockname()
        self.url = "http://{}:{}".format(*self._address)
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = list(self._open.values())
        await self.refuse()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(4):
            await asyncio.sleep(0)  # for what is being accepted
        self._kept.close()

    def always(self, fault: Fault | None) -> None:
        """Every call meets it, until another is set."""
        self.fault = lambda: fault

    async def listen(self) -> None:
        """Be there, at the same address as before."""
        if self._server is None:
            self._server = await asyncio.start_server(self._speak, *self._address)

    async def refuse(self) -> None:
        """Be gone: what is open is reset, what comes is refused."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            _reset(writer)

    async def _speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:
            # It was accepted just before.
            _reset(writer)
            return
        task = asyncio.current_task()
        assert task is not None
        self._open[writer] = task
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while (request := await read_request(reader)) is not None:
                    if not await self._reply(_asked(*request), reader, writer):
                        break
        finally:
            del self._open[writer]
            writer.transport.abort()

    async def _reply(
        self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Whether the connection goes on."""
        self.calls += 1
        fault = self.fault()
        word = fault if isinstance(fault, str) else ""
        if word == "reset":
            _reset(writer)
            return False
        if word == "hung up":
            return False
        answer = self._answer(asked, fault)
        said = _written(answer)
        if word == "hang":
            # Until the caller hangs up.
            await reader.read()
            return False
        if word == "slow":
            await asyncio.sleep(self._slow)
        if word == "garbage":
            said = b"SSH-2.0-OpenSSH_9.6\r\n" + said
        if word == "twice":
            said += said
        if word in {"reset in body", "short"}:
            writer.write(said[:-9])
            await writer.drain()
            if word == "reset in body":
                _reset(writer)
            return False
        for piece in _pieces(said, 7 if word == "in pieces" else 1):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        return word != "garbage"

    def _answer(self, asked: Asked, fault: Fault | None) -> Answer:
        if isinstance(fault, int):
            return Answer(fault, b'{"error":{"message":"secret words"}}')
        if isinstance(fault, tuple):
            status, headers, body = fault
            return Answer(status, body, headers)
        answer = self.engine.answer(asked)
        spoils = isinstance(fault, str) and fault not in ON_THE_WIRE
        if spoils and isinstance(answer.body, dict) and "data" in answer.body:
            assert isinstance(fault, str)
            return Answer(200, spoil(fault, answer.body))
        return answer


def _asked(head: bytes, body: bytes) -> Asked:
    line, *lines = head.decode().strip().split("\r\n")
    method, path, _ = line.split(" ")
    pairs = (one.partition(":") for one in lines)
    return Asked(
        method, path, {key.strip().lower(): value.strip() for key, _, value in pairs}, body
    )


def _written(answer: Answer) -> bytes:
    body = answer.body if isinstance(answer.body, bytes) else dump(answer.body)
    lines = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        **answer.headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {answer.status} Whatever\r\n{head}\r\n".encode() + body


def _pieces(said: bytes, count: int) -> list[bytes]:
    size = -(-len(said) // count)
    return [said[start : start + size] for start in range(0, len(said), size)]


def _reset(writer: asyncio.StreamWriter) -> None:
    """RST, not FIN."""
    peer: socket.socket | None = writer.get_extra_info("socket")
    if peer is not None:
        with contextlib.suppress(OSError):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
