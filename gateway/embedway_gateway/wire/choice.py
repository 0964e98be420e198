"""Chooses how calls travel: by themselves, or through the proxy that the environment names."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Protocol

from embedway_gateway.wire.transport import WireTransport
from embedway_upstream import HTTPCall, HTTPReply
from embedway_upstream.flow import HTTPFlow, StreamTransport
from embedway_upstream.proxy import Proxies

__all__ = ["Carrier", "make_transport"]


class Carrier(StreamTransport, Protocol):
    """A transport that holds connections, until it is closed."""

    async def close(self) -> None: ...


def make_transport(
    proxies: Proxies, *, tls: Callable[[], ssl.SSLContext] = ssl.create_default_context
) -> Carrier:
    """What carries all calls to upstreams; `tls` makes what they are verified with."""
    direct = WireTransport(tls=tls)
    if not proxies:
        return direct
    # Imported here: it takes 0.2 s, and few need it.
    from embedway_gateway.transport import AiohttpTransport

    return _Either(direct, AiohttpTransport(tls=tls, proxy_of=proxies.of), proxies)


class _Either:
    def __init__(self, direct: Carrier, proxied: Carrier, proxies: Proxies) -> None:
        self._direct = direct
        self._proxied = proxied
        self._proxies = proxies

    async def send(self, call: HTTPCall) -> HTTPReply:
        return await self._way(call).send(call)

    async def open(self, call: HTTPCall) -> HTTPFlow:
        return await self._way(call).open(call)

    async def close(self) -> None:
        await self._direct.close()
        await self._proxied.close()

    def _way(self, call: HTTPCall) -> Carrier:
        return self._proxied if self._proxies.of(call.url) else self._direct
