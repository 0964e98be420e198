"""Marks answers of an upstream that is not of the model's best priority."""

from __future__ import annotations

from dataclasses import replace

from embedway_upstream import EmbeddingRequest, EmbeddingResponse, Service

__all__ = ["Fallback"]


class Fallback:
    """Stands above the upstreams of lower priority, so that callers can see who answered."""

    def __init__(self, inner: Service[EmbeddingRequest, EmbeddingResponse]) -> None:
        self._inner = inner

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """The response, marked."""
        return replace(await self._inner.send(request), fallback=True)
