"""Keeps connections open between calls: one httpx client a process, and one an event loop."""

from __future__ import annotations

import os
import ssl
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedway_client.address import is_loopback
from embedway_client.loop import LoopClients

if TYPE_CHECKING:
    import httpx

__all__ = ["Connections"]


class Connections:
    """
    httpx clients for one server, opened when first needed and closed with this object.

    Clients that were given are used as they are, and left open.
    """

    def __init__(
        self, url: str, client: httpx.Client | None, async_client: httpx.AsyncClient | None
    ) -> None:
        self._options = _Options(url)
        self._given = client
        self._given_async = async_client
        self._lock = threading.Lock()
        self._pid = 0
        self._own: httpx.Client | None = None
        self._closing: weakref.finalize[[], Connections] | None = None
        self._loops = LoopClients(self._options.open_async)

    def client(self) -> httpx.Client:
        """For blocking calls, from any thread."""
        if self._given is not None:
            return self._given
        with self._lock:
            # A forked child must not speak on its parent's connections.
            if self._own is None or self._pid != os.getpid():
                self._close_own()
                self._own = self._options.open()
                self._closing = weakref.finalize(self, self._own.close)
                self._pid = os.getpid()
            return self._own

    async def async_client(self) -> httpx.AsyncClient:
        """For calls on the running event loop."""
        return self._given_async or await self._loops.client()

    def close(self) -> None:
        """Close at once what is blocking; the clients of event loops, soon and by those loops."""
        with self._lock:
            self._close_own()
        self._loops.close()

    async def aclose(self) -> None:
        """Close everything; the running loop's client before this returns."""
        await self._loops.aclose()
        self.close()

    def _close_own(self) -> None:
        if self._closing is not None:
            self._closing()
        self._own = self._closing = None


@dataclass(frozen=True, slots=True)
class _Options:
    """How our own clients are opened."""

    url: str

    def open(self) -> httpx.Client:
        import httpx

        return httpx.Client(
            verify=self._verify(),
            trust_env=self._trust_env(),
            limits=self._limits(),
            headers=_HEADERS,
        )

    def open_async(self) -> httpx.AsyncClient:
        import httpx

        return httpx.AsyncClient(
            verify=self._verify(),
            trust_env=self._trust_env(),
            limits=self._limits(),
            headers=_HEADERS,
        )

    def _verify(self) -> ssl.SSLContext:
        import httpx

        # Reading the certificates takes 20 ms, for nothing where nothing is encrypted. The empty
        # context that stands in trusts nobody.
        if self.url.startswith("https://"):
            return httpx.create_ssl_context()
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    def _trust_env(self) -> bool:
        # A proxy that the environment names cannot reach this machine's loopback.
        return not is_loopback(self.url)

    def _limits(self) -> httpx.Limits:
        import httpx

        # An idle connection is looked at before it is used, so it may be kept for long.
        return httpx.Limits(
            max_connections=100, max_keepalive_connections=20, keepalive_expiry=30.0
        )


_HEADERS = {"user-agent": "embedway", "accept-encoding": "identity"}
