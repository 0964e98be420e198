"""Embeds one request's texts over HTTP, with retries, and watches the vector space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from embedway_client.attempt import Answer, Attempts, Pace, attempts, converse, converse_async
from embedway_client.connection import Connections
from embedway_client.embedding import EmbeddingResult
from embedway_client.exchange import exchange, exchange_async
from embedway_client.space import Space
from embedway_upstream import EmbeddingRequest, Endpoint, HTTPCall, HTTPReply, InputType

if TYPE_CHECKING:
    from embedway_client.settings import Settings

__all__ = ["Remote"]


class Remote:
    """An endpoint and the connections to it. What it raises is an `EmbeddingError`."""

    def __init__(
        self,
        endpoint: Endpoint,
        connections: Connections,
        space: Space,
        settings: Settings,
        pace: Pace,
    ) -> None:
        self._endpoint = endpoint
        self._connections = connections
        self._space = space
        self._model = settings.model
        self._dimensions = settings.dimensions
        self._seconds = settings.timeout
        self._headers: Mapping[str, str] = settings.headers
        self._retries = settings.max_retries
        self._pace = pace

    def encode(
        self, texts: tuple[str, ...], input_type: InputType, *, once: bool
    ) -> EmbeddingResult:
        """One request, tried again where that can help, unless `once`."""
        steps = self._attempts(texts, input_type, once=once)
        return self._result(converse(steps, self._send, self._pace.sleep))

    async def aencode(
        self, texts: tuple[str, ...], input_type: InputType, *, once: bool
    ) -> EmbeddingResult:
        """Like `encode`, on the running event loop."""
        steps = self._attempts(texts, input_type, once=once)
        return self._result(await converse_async(steps, self._asend, self._pace.async_sleep))

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()

    async def aclose(self) -> None:
        """Close the connections; those of the running event loop before this returns."""
        await self._connections.aclose()

    def _attempts(self, texts: tuple[str, ...], input_type: InputType, *, once: bool) -> Attempts:
        request = EmbeddingRequest(
            model=self._model, inputs=texts, input_type=input_type, dimensions=self._dimensions
        )
        retries = 0 if once else self._retries
        return attempts(self._endpoint, request, retries=retries, jitter=self._pace.jitter)

    def _send(self, call: HTTPCall) -> HTTPReply:
        client = self._connections.client()
        return exchange(client, call, headers=self._headers, seconds=self._seconds)

    async def _asend(self, call: HTTPCall) -> HTTPReply:
        client = await self._connections.async_client()
        return await exchange_async(client, call, headers=self._headers, seconds=self._seconds)

    def _result(self, answer: Answer) -> EmbeddingResult:
        response = answer.response
        fingerprint = answer.headers.get("x-embedway-vector-space") or None
        self._space.see(fingerprint, response.vectors.shape[1])
        return EmbeddingResult(
            vectors=response.vectors,
            usage=response.usage,
            vector_space=fingerprint,
            fallback="x-embedway-fallback" in answer.headers,
        )
