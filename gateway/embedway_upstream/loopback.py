"""Whether an address is of this machine, where nothing crosses a network."""

from __future__ import annotations

from ipaddress import ip_address

__all__ = ["is_loopback"]


def is_loopback(host: str) -> bool:
    """Of a host as a URL or a socket names it; a name other than `localhost` is never trusted."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
