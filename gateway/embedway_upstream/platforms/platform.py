"""What a platform must answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from embedway_upstream.error import EmbeddingError

__all__ = ["SERVERS_OWN", "Platform"]

SERVERS_OWN = frozenset({"/health", "/info", "/version"})
"""Where servers tell of themselves: at the root, wherever their API begins."""


class Platform(Protocol):
    """
    Where an engine is addressed.

    `address` gives the URL for an engine's path; a reply that comes in pieces (`stream`) may have
    another. `probe_address` is where a GET reaches the engine's path, None where the platform
    carries no GET to it. `headers` are added to every call. `error` reads what the platform itself
    says of a failure, None when it was not the platform. `max_bytes` of a request's body and
    `max_seconds` of a whole call are the platform's bounds, None where it has none.
    """

    @property
    def max_bytes(self) -> int | None: ...
    @property
    def max_seconds(self) -> float | None: ...
    def address(self, path: str, *, stream: bool = False) -> str: ...
    def probe_address(self, path: str) -> str | None: ...
    def headers(self, path: str, *, stream: bool = False) -> Mapping[str, str]: ...
    def error(
        self, status: int, headers: Mapping[str, str], body: bytes
    ) -> EmbeddingError | None: ...
