"""Puts the model's prompt before each text, so that every upstream embeds the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from embedway_upstream import DeadlineExceeded, EmbeddingRequest, EmbeddingResponse, Service

__all__ = ["Prompt", "PromptTexts"]


@dataclass(frozen=True, slots=True)
class PromptTexts:
    """What is put before a query, and before a document."""

    query: str = ""
    document: str = ""


class Prompt:
    """`texts` is asked each time, because a local model tells its prompts once it is loaded."""

    def __init__(
        self,
        inner: Service[EmbeddingRequest, EmbeddingResponse],
        texts: Callable[[], Awaitable[PromptTexts]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._texts = texts
        self._clock = clock

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """Send the request with its prompts in place."""
        left = None if request.deadline is None else request.deadline - self._clock()
        try:
            async with asyncio.timeout(left):
                texts = await self._texts()
        except TimeoutError:
            raise DeadlineExceeded("the model was not loaded before the deadline") from None
        prompt = texts.query if request.input_type == "query" else texts.document
        if prompt:
            request = replace(request, inputs=tuple(prompt + text for text in request.inputs))
        return await self._inner.send(request)
