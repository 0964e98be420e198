"""
An embedding server that takes no time: it answers what was asked from bytes made beforehand.

    python upstream.py PORT --dimensions 384 [--floats] [--serial 0.005] [--delay 0.05]

A text decides its vector, so that a mix-up is seen. `GET /count` tells the calls and texts since
it was last asked; `GET /status/503` makes every later call be refused so.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import zlib
from collections import deque
from typing import cast

import httptools
import msgspec
import numpy as np
import orjson
import uvloop
from numpy.typing import NDArray

# Different vectors; a text's checksum chooses.
VECTORS = 64
MOST_TEXTS = 32
# Requests that are known byte for byte; a signed one never comes twice.
_KNOWN = 64


class Body(msgspec.Struct):
    input: str | list[str]
    encoding_format: str | None = None


_decode = msgspec.json.Decoder(Body).decode


def vectors(dimensions: int) -> NDArray[np.float32]:
    """The rows that texts are given: of unit length, the same in every process."""
    made = np.random.default_rng(1).standard_normal((VECTORS, dimensions)).astype("<f4")
    unit: NDArray[np.float32] = made / np.linalg.norm(made, axis=1, keepdims=True)
    return unit


def which(text: str) -> int:
    """The row of a text."""
    return zlib.crc32(text.encode()) % VECTORS


class World:
    """What all connections share."""

    def __init__(self, options: argparse.Namespace) -> None:
        rows = vectors(options.dimensions)
        self.floats: bool = options.floats
        self.serial: float = options.serial
        self.delay: float = options.delay
        self.status = 200
        self.calls = self.texts = 0
        self.known: dict[bytes, tuple[bytes, int]] = {}
        self.waiting: deque[tuple[Connection, bytes]] = deque()
        self.busy = False
        self._encoded = {
            True: [b'"%s"' % base64.b64encode(row.tobytes()) for row in rows],
            False: [orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY) for row in rows],
        }

    def answer(self, target: bytes, body: bytes) -> tuple[bytes, int]:
        """The whole reply, and how many texts it is for."""
        if not body:
            return reply(200, self._tell(target)), 0
        if self.status != 200:
            return reply(self.status, b'{"error":{"message":"out of order"}}'), 0
        read = _decode(body)
        texts = [read.input] if isinstance(read.input, str) else read.input
        if self.serial and len(texts) > MOST_TEXTS:
            return reply(413, b'{"error":{"message":"too many texts"}}'), 0
        encoded = self._encoded[read.encoding_format == "base64" and not self.floats]
        items = b",".join(
            b'{"object":"embedding","index":%d,"embedding":%s}' % (index, encoded[which(text)])
            for index, text in enumerate(texts)
        )
        size = len(texts)
        usage = b'{"prompt_tokens":%d,"total_tokens":%d}' % (size, size)
        whole = b'{"object":"list","data":[%s],"model":"m","usage":%s}' % (items, usage)
        return reply(200, whole), size

    def _tell(self, target: bytes) -> bytes:
        if target.startswith(b"/status/"):
            self.status = int(target.removeprefix(b"/status/"))
            self.known.clear()
        if target == b"/count":
            told = {"calls": self.calls, "texts": self.texts}
            self.calls = self.texts = 0
            return json.dumps(told).encode()
        # What sglang_router asks before it lets a worker serve.
        return b'{"model_path":"m","served_model_name":"m","is_generation":false,"status":"ok"}'


def reply(status: int, body: bytes) -> bytes:
    return (
        b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        % (status, len(body))
    ) + body


class Connection(asyncio.Protocol):
    def __init__(self, world: World) -> None:
        self._world = world
        self._start()

    def _start(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""
        self._target = b""
        self._raw: bytes | None = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are none of asyncio's class.
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        known = self._world.known.get(data) if self._raw == b"" else None
        if known is not None:
            self._give(*known)
            return
        # None once it came in several pieces.
        self._raw = data if self._raw == b"" else None
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        world = self._world
        answer, texts = world.answer(self._target, self._body)
        if self._raw and texts and len(world.known) < _KNOWN:
            world.known[self._raw] = (answer, texts)
        called = bool(self._body)
        self._start()
        if called:
            self._give(answer, texts)
        else:
            self.transport.write(answer)

    def _give(self, answer: bytes, texts: int) -> None:
        world = self._world
        world.calls += 1
        world.texts += texts
        if world.serial:
            world.waiting.append((self, answer))
            if not world.busy:
                serve(world)
        elif world.delay:
            asyncio.get_running_loop().call_later(world.delay, self.transport.write, answer)
        else:
            self.transport.write(answer)


def serve(world: World) -> None:
    """One call at a time, each for as long."""
    world.busy = bool(world.waiting)
    if world.busy:
        connection, answer = world.waiting.popleft()

        def end() -> None:
            connection.transport.write(answer)
            serve(world)

        asyncio.get_running_loop().call_later(world.serial, end)


async def run(options: argparse.Namespace) -> None:
    world = World(options)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(world), "127.0.0.1", options.port)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--floats", action="store_true", help="speak floats only")
    parser.add_argument("--serial", type=float, default=0.0, help="seconds a call, one by one")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds a call, any number")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
