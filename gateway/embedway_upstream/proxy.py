"""Which addresses are called through a proxy, by the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from embedway_upstream.error import UpstreamUnreachable
from embedway_upstream.loopback import is_loopback

__all__ = ["NAMED", "Proxies", "read_proxies", "require_http"]

NAMED = "the proxy that HTTPS_PROXY or HTTP_PROXY names"


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxy for each scheme, empty for none, and the hosts that are called without one."""

    http: str = ""
    https: str = ""
    without: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.http or self.https)

    def of(self, url: str) -> str | None:
        """The proxy for an address; never one for this machine's own."""
        parts = urlsplit(url)
        proxy = self.https if parts.scheme == "https" else self.http
        host = parts.hostname
        if not proxy or host is None or is_loopback(host):
            return None
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return None if any(_covers(one, host, port) for one in self.without) else proxy


def read_proxies(environment: Mapping[str, str] | None = None) -> Proxies:
    """HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, of which lower case counts first."""
    environment = os.environ if environment is None else environment

    def read(name: str) -> str:
        value = environment.get(name.lower()) or environment.get(name) or ""
        return value.strip()

    named = (read("HTTP_PROXY") or read("ALL_PROXY"), read("HTTPS_PROXY") or read("ALL_PROXY"))
    http, https = (value if not value or "://" in value else f"http://{value}" for value in named)
    without = read("NO_PROXY").replace(",", " ").lower().split()
    return Proxies(http, https, tuple(without))


def require_http(proxy: str | None) -> None:
    """Raise `UpstreamUnreachable` for a proxy of another kind."""
    if proxy is not None and not proxy.startswith(("http://", "https://")):
        raise UpstreamUnreachable(
            f"{NAMED} is not of http:// or https://, and others are not known here"
        )


def _covers(entry: str, host: str, port: int) -> bool:
    """Whether NO_PROXY's `*`, `host`, `.domain`, `host:port`, address or network means a host."""
    if entry == "*":
        return True
    try:
        return ip_address(host) in ip_network(entry, strict=False)
    except ValueError:
        pass
    name, separator, only = entry.rpartition(":")
    if separator and only.isdigit() and "]" not in only and name.count(":") == 0:
        if int(only) != port:
            return False
        entry = name
    domain = entry.removeprefix("*").removeprefix(".").rstrip(".")
    host = host.rstrip(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))
