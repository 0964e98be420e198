"""Embeds one request's texts over HTTP, with retries, and watches the vector space."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, get_args

import msgspec

from embedway_client.attempt import Answer
from embedway_client.embedding import EmbeddingResult
from embedway_client.line import Line
from embedway_client.space import Space
from embedway_client.text import MAX_TEXTS, cut, room, roughly
from embedway_upstream import (
    EmbeddingRequest,
    EmbeddingResponse,
    Endpoint,
    InputType,
    InvalidRequest,
)

if TYPE_CHECKING:
    from embedway_client.settings import Settings

__all__ = ["Remote"]

_encode = msgspec.json.Encoder().encode


class Remote:
    """An endpoint, and the line to it. What it raises is an `EmbeddingError`."""

    def __init__(self, endpoint: Endpoint, line: Line, space: Space, settings: Settings) -> None:
        self._endpoint = endpoint
        self._line = line
        self._space = space
        self._model = settings.model
        self._prompt = settings.prompt
        self._foreign = settings.deployment is not None
        # A deployment is not asked for fewer: some ignore it, some cut and do not normalise.
        self._dimensions = None if self._foreign else settings.dimensions
        self._prompted = any(map(settings.prompt, get_args(InputType)))
        limits = endpoint.engine.limits
        self._batch_size = settings.batch_size
        self._takes = limits.max_inputs or MAX_TEXTS
        self._most_bytes = room(limits.max_bytes, endpoint.platform.max_bytes)

    def pieces(
        self, texts: tuple[str, ...], input_type: InputType, batch_size: int | None = None
    ) -> Iterator[tuple[str, ...]]:
        """The texts in requests, of which each is as large as the server takes."""
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: at least 1 is needed")
        most = min(self._takes, batch_size or self._batch_size)
        return cut(texts, most, most_bytes=self._most_bytes, size_of=self._size(input_type))

    def encode(
        self, texts: tuple[str, ...], input_type: InputType, *, once: bool
    ) -> EmbeddingResult:
        """One request, tried again where that can help, unless `once`."""
        request = self._request(texts, input_type)
        return self._result(self._line.ask(self._endpoint, request, once=once))

    async def aencode(
        self, texts: tuple[str, ...], input_type: InputType, *, once: bool
    ) -> EmbeddingResult:
        """Like `encode`, on the running event loop."""
        request = self._request(texts, input_type)
        return self._result(await self._line.aask(self._endpoint, request, once=once))

    def _request(self, texts: tuple[str, ...], input_type: InputType) -> EmbeddingRequest:
        if prompt := self._prompt(input_type):
            texts = tuple(prompt + text for text in texts)
        return EmbeddingRequest(
            model=self._model, inputs=texts, input_type=input_type, dimensions=self._dimensions
        )

    def _size(self, input_type: InputType) -> Callable[[str], int]:
        if not self._foreign:
            beside = roughly(self._prompt(input_type))
            return lambda text: roughly(text) + beside
        # The quotes are counted with the text, the comma after it here.
        beside = len(_encode(self._prompt(input_type))) - 2 + 1
        return lambda text: len(_encode(text)) + beside

    def _result(self, answer: Answer[EmbeddingResponse]) -> EmbeddingResult:
        response = answer.response
        fingerprint = answer.headers.get("x-embedway-vector-space") or None
        if fingerprint is not None and self._prompted:
            raise _prompted_twice()
        self._space.see(fingerprint, response.vectors.shape[1])
        return EmbeddingResult(
            vectors=response.vectors,
            usage=response.usage,
            vector_space=fingerprint,
            fallback="x-embedway-fallback" in answer.headers,
        )


def _prompted_twice() -> InvalidRequest:
    # A fingerprint covers the prompts that its server puts: with others before them, vectors would
    # be told to be of a space that they are not in.
    return InvalidRequest(
        "the server is an Embedway gateway, which itself puts the model's prompts before the "
        "texts; leave out query_prompt= and document_prompt=, and state the model's prompts: there",
        param="query_prompt",
    )
