"""Marks answers of an upstream that is not of the model's best priority."""

from __future__ import annotations

from dataclasses import replace
from typing import Generic, TypeVar

from embedway_upstream import EmbeddingResponse, RerankResponse, Service
from embedway_upstream.chat import ChatReply

__all__ = ["Fallback"]

Request = TypeVar("Request")
Reply = TypeVar("Reply", bound=EmbeddingResponse | RerankResponse | ChatReply)


class Fallback(Generic[Request, Reply]):
    """Stands above the upstreams of lower priority, so that callers can see who answered."""

    def __init__(self, inner: Service[Request, Reply]) -> None:
        self._inner = inner

    async def send(self, request: Request) -> Reply:
        """The response, marked."""
        return replace(await self._inner.send(request), fallback=True)
