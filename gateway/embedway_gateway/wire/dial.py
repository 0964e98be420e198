"""Makes connections: looks the address up, connects, agrees on TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from functools import partial

from aiohappyeyeballs import AddrInfoType, start_connection

from embedway_gateway.wire.address import Origin
from embedway_gateway.wire.connection import Connection
from embedway_gateway.wire.trouble import unreachable

__all__ = ["CONNECT_SECONDS", "Dial"]

CONNECT_SECONDS = 5.0
# RFC 8305: the next address is tried beside one that does not answer.
_NEXT_ADDRESS_SECONDS = 0.25


class Dial:
    """`connect` opens connections; `tls` makes what they are encrypted and verified with."""

    def __init__(self, tls: Callable[[], ssl.SSLContext] = ssl.create_default_context) -> None:
        self._make_tls = tls
        self._tls: ssl.SSLContext | None = None
        self._lookups: dict[tuple[str, int], asyncio.Task[list[AddrInfoType]]] = {}

    async def connect(self, origin: Origin) -> Connection:
        """A new one. Raises `UpstreamUnreachable` that says what stands in the way."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                found = await self._look_up(origin.host, origin.port)
                # First, because from here on somebody has to own the socket.
                tls = self._context() if origin.tls else None
                raw = await start_connection(
                    found, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, interleave=1
                )
                # A request is one write: waiting to fill a packet would only delay it.
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                _, connection = await asyncio.get_running_loop().create_connection(
                    partial(Connection, raw),
                    sock=raw,
                    ssl=tls,
                    server_hostname=origin.host if tls else None,
                )
                return connection
        except (OSError, ValueError) as error:
            raise unreachable(error, tls=origin.tls) from error

    async def _look_up(self, host: str, port: int) -> list[AddrInfoType]:
        # Together, because a burst of connections would otherwise wait for a few threads.
        key = host, port
        task = self._lookups.get(key)
        if task is None:
            loop = asyncio.get_running_loop()
            task = loop.create_task(_addresses(loop, host, port))
            task.add_done_callback(partial(self._looked_up, key))
            self._lookups[key] = task
        # One that gives up must not end it for the others.
        return await asyncio.shield(task)

    def _looked_up(self, key: tuple[str, int], task: asyncio.Task[list[AddrInfoType]]) -> None:
        del self._lookups[key]
        if not task.cancelled():
            # Seen, though nobody may wait any more.
            task.exception()

    def _context(self) -> ssl.SSLContext:
        # Made on first use: reading the certificates of the system takes 20 ms.
        if self._tls is None:
            self._tls = self._make_tls()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


async def _addresses(loop: asyncio.AbstractEventLoop, host: str, port: int) -> list[AddrInfoType]:
    return list(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
