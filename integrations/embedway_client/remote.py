"""Embeds one request's texts over HTTP, with retries, and watches the vector space."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from embedway_client.attempt import (
    Answer,
    Attempts,
    Pace,
    Ready,
    Renew,
    Said,
    Step,
    Wait,
    attempts,
    converse,
    converse_async,
)
from embedway_client.connection import Connections
from embedway_client.embedding import EmbeddingResult
from embedway_client.exchange import exchange, exchange_async
from embedway_client.refresh import Refresh
from embedway_client.space import Space
from embedway_client.text import MAX_BYTES, cut, roughly
from embedway_upstream import EmbeddingRequest, Endpoint, InputType
from embedway_upstream.credentials.renewal import Renewal

if TYPE_CHECKING:
    from embedway_client.settings import Settings

__all__ = ["Remote"]

# What a body holds beside the texts: the model's name and a few fields.
_ENVELOPE = 4096

_encode = msgspec.json.Encoder().encode


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
        self._deployment = settings.deployment
        # A deployment is not asked for fewer: some ignore it, some cut and do not normalise.
        self._dimensions = None if settings.deployment else settings.dimensions
        self._seconds = settings.timeout
        self._headers: Mapping[str, str] = settings.headers
        self._retries = settings.max_retries
        self._pace = pace
        self._refresh = Refresh(endpoint.credentials)
        self._renewal = Renewal(endpoint.credentials)
        limits = endpoint.engine.limits
        self._most = min(settings.batch_size, limits.max_inputs or settings.batch_size)
        bounds = (limits.max_bytes, endpoint.platform.max_bytes)
        room = [size - _ENVELOPE for size in bounds if size is not None]
        self._most_bytes = min([MAX_BYTES, *room])

    def pieces(self, texts: tuple[str, ...], input_type: InputType) -> Iterator[tuple[str, ...]]:
        """The texts in requests, of which each is as large as the server takes."""
        return cut(texts, self._most, most_bytes=self._most_bytes, size_of=self._size(input_type))

    def encode(
        self, texts: tuple[str, ...], input_type: InputType, *, once: bool
    ) -> EmbeddingResult:
        """One request, tried again where that can help, unless `once`."""
        steps = self._attempts(texts, input_type, once=once)
        return self._result(converse(steps, self._act))

    async def aencode(
        self, texts: tuple[str, ...], input_type: InputType, *, once: bool
    ) -> EmbeddingResult:
        """Like `encode`, on the running event loop."""
        steps = self._attempts(texts, input_type, once=once)
        return self._result(await converse_async(steps, self._aact))

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()

    async def aclose(self) -> None:
        """Close the connections; those of the running event loop before this returns."""
        await self._connections.aclose()

    def _attempts(self, texts: tuple[str, ...], input_type: InputType, *, once: bool) -> Attempts:
        if prompt := self._prompt(input_type):
            texts = tuple(prompt + text for text in texts)
        request = EmbeddingRequest(
            model=self._model, inputs=texts, input_type=input_type, dimensions=self._dimensions
        )
        return attempts(
            self._endpoint,
            request,
            retries=0 if once else self._retries,
            jitter=self._pace.jitter,
            renews=self._deployment is not None,
        )

    def _prompt(self, input_type: InputType) -> str:
        return "" if self._deployment is None else self._deployment.prompt(input_type)

    def _size(self, input_type: InputType) -> Callable[[str], int]:
        if self._deployment is None:
            return roughly
        # The quotes are counted with the text, the comma after it here.
        beside = len(_encode(self._prompt(input_type))) - 2 + 1
        return lambda text: len(_encode(text)) + beside

    def _act(self, step: Step) -> Said:
        match step:
            case Wait(seconds):
                self._pace.sleep(seconds)
                return None
            case Ready():
                self._refresh.ready()
                return self._refresh.forced
            case Renew(seen):
                return self._refresh.renew(seen)
        client = self._connections.client()
        return exchange(client, step, headers=self._headers, seconds=self._seconds)

    async def _aact(self, step: Step) -> Said:
        match step:
            case Wait(seconds):
                await self._pace.async_sleep(seconds)
                return None
            case Ready():
                await self._renewal.ready()
                return self._renewal.forced
            case Renew(seen):
                return await self._renewal.renew(seen)
        client = await self._connections.async_client()
        return await exchange_async(client, step, headers=self._headers, seconds=self._seconds)

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
