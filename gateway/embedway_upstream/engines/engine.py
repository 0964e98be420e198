"""What an engine's dialect must answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from embedway_upstream.embedding import EmbeddingRequest, EmbeddingResponse
from embedway_upstream.error import EmbeddingError

__all__ = ["Engine"]


class Engine(Protocol):
    """
    One server software's way of saying things.

    `path` is added to the upstream's URL. `encode` writes a body from scratch; nothing of a
    client's body is passed on. `decode` reads a 200 and raises `BadReply` when it cannot be
    what was asked for. `error` reads any other status.
    """

    @property
    def path(self) -> str: ...
    def encode(self, request: EmbeddingRequest) -> bytes: ...
    def decode(self, body: bytes, request: EmbeddingRequest) -> EmbeddingResponse: ...
    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> EmbeddingError: ...
