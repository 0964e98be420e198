"""The one shape that an upstream, a layer and the whole stack share."""

from __future__ import annotations

from typing import Protocol, TypeVar

__all__ = ["Reply", "Request", "Service"]

Request = TypeVar("Request", contravariant=True)
Reply = TypeVar("Reply", covariant=True)


class Service(Protocol[Request, Reply]):
    """Answers a request, or raises an `EmbeddingError`."""

    async def send(self, request: Request, /) -> Reply: ...
