"""A client that says bytes, and hears whole answers."""

from __future__ import annotations

import asyncio

__all__ = ["Wire", "read_reply", "written"]


class Wire:
    """Says bytes to the gateway, on a new connection each time."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self.address = (host, int(port))

    async def say(
        self, *pieces: bytes, replies: int = 1
    ) -> list[tuple[int, dict[str, str], bytes]]:
        """What it answers, at most so often; it is hung up on then."""
        reader, writer = await asyncio.open_connection(*self.address)
        found = []
        try:
            async with asyncio.timeout(10):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                while len(found) < replies and (one := await read_reply(reader)) is not None:
                    found.append(one)
        finally:
            writer.transport.abort()
        return found

    async def post(self, body: bytes, *lines: bytes) -> tuple[int, dict[str, str], bytes]:
        [one] = await self.say(written(body, *lines))
        return one


async def read_reply(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes] | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    pairs = [line.partition(":") for line in head[1:]]
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return int(head[0].split(" ")[1]), headers, body


def written(body: bytes, *lines: bytes, target: bytes = b"/v1/embeddings") -> bytes:
    head = [b"POST " + target + b" HTTP/1.1", b"host: gateway", b"content-type: application/json"]
    head += [b"content-length: %d" % len(body), *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body
