"""An engine at an address of its own, with nothing in front."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from embedway_upstream.error import EmbeddingError
from embedway_upstream.platforms.platform import SERVERS_OWN

__all__ = ["Plain"]


@dataclass(frozen=True, slots=True)
class Plain:
    """`url` is the engine's base; the engine's path is added to it."""

    url: str

    max_bytes: int | None = field(default=None, init=False, repr=False)
    max_seconds: float | None = field(default=None, init=False, repr=False)

    def address(self, path: str, *, stream: bool = False) -> str:
        """The URL of the engine's path; a base that already ends in `/v1` is not given two."""
        base = self.url.rstrip("/")
        if base.endswith("/v1") and path.startswith("/v1/"):
            return base + path.removeprefix("/v1")
        return base + path

    def probe_address(self, path: str) -> str | None:
        """The same URL; what is the server's own is not below the `/v1` of its API."""
        if path in SERVERS_OWN:
            return self.url.rstrip("/").removesuffix("/v1") + path
        return self.address(path)

    def headers(self, path: str, *, stream: bool = False) -> Mapping[str, str]:
        """None."""
        return {}

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> EmbeddingError | None:
        """Never: there is no platform."""
        return None
