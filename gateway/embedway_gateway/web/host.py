"""Refuses requests that came under another site's name, as a browser's do after DNS rebinding."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from starlette.types import Scope

from embedway_gateway.config.schema import ServerConfig
from embedway_gateway.web.body import header
from embedway_gateway.web.error import HTTPError

__all__ = ["Hosts"]

# Whoever probes calls by whatever name it has, and learns nothing there.
_OPEN = frozenset({"/healthz", "/readyz"})
# Names that were judged; more come only from somebody who makes them up.
_MOST = 256
_SHOWN = 100
# A version 6 address in brackets, or a name; and a port.
_STATED = re.compile(r"(?:\[([^\[\]@]*:[^\[\]@]*)\]|([^\[\]@:/]*))(?::[0-9]*)?")


class Hosts:
    """
    The names that the gateway answers to, which `Host` states. A page of the web whose name was
    made to mean 127.0.0.1 is, to a browser, of one origin with the gateway there: all that tells
    them apart is that name.

    Without keys it is a loopback name, an address, a name without a dot, which is no public
    site's, or one of `server.allowed_hosts`. With keys a page has none to send, and any name is
    answered to unless that list is stated: then it, loopback and addresses. Whoever states no name,
    as HTTP/1.0 allows, is no browser.
    """

    def __init__(self, server: Callable[[], ServerConfig]) -> None:
        """`server` tells what the configuration says now."""
        self._server = server
        self._judged_by: ServerConfig | None = None
        self._judged: dict[bytes, bool] = {}

    def require(self, scope: Scope) -> None:
        """Raise `HTTPError` 421 for a name that is not the gateway's."""
        server = self._server()
        if server is not self._judged_by:
            self._judged_by, self._judged = server, {}
        stated = header(scope, b"host")
        if not stated or self._judged.get(stated):
            return
        if stated not in self._judged:
            if len(self._judged) >= _MOST:
                self._judged.clear()
            self._judged[stated] = _is_ours(stated, server)
        if not (self._judged[stated] or scope["path"] in _OPEN):
            raise _misdirected(stated)


def _is_ours(stated: bytes, server: ServerConfig) -> bool:
    if server.guarded and not server.allowed_hosts:
        return True
    name = _name(stated.decode("latin-1").lower())
    if name is None:
        return False
    bare = name.removesuffix(".")
    if bare == "localhost" or bare.endswith(".localhost") or _is_address(name):
        return True
    # One that ends in a dot is public, though it has no other.
    return bare in server.allowed_hosts or (not server.guarded and "." not in name)


def _name(stated: str) -> str | None:
    """Without its port; None for what no client makes."""
    match = _STATED.fullmatch(stated)
    return None if match is None else match[1] or match[2]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _misdirected(stated: bytes) -> HTTPError:
    shown = stated.decode("latin-1")
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
    return HTTPError(
        421,
        f"This gateway does not answer to the name {shown!r}, which the header Host states. If it "
        "is one of its names, add it to `server: {allowed_hosts: [NAME]}` without port, or call "
        "the gateway by its address or as localhost.",
        code="unknown_host",
        retry=False,
    )
