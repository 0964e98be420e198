"""What the framework's embedding methods do: one request a batch, told of with its usage."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation.events.embedding import EmbeddingStartEvent
from llama_index.core.utils import get_tqdm_iterable
from llama_index_instrumentation import get_dispatcher
from pydantic import PrivateAttr

from embedway_client import Client, EmbeddingResult
from embedway_upstream import InputType
from embedway_upstream.gather import gather
from llama_index.embeddings.embedway.cache import (
    COLLECTION,
    Cache,
    Embed,
    Fetched,
    Keep,
    Look,
    Said,
    Step,
)
from llama_index.embeddings.embedway.field import Fields
from llama_index.embeddings.embedway.usage import EmbeddingUsageEvent, counts

__all__ = ["Calls"]

_AT_ONCE = 4

_dispatcher = get_dispatcher(__name__)


@dataclass(slots=True)
class _Batch:
    """What is being embedded; `done` once it is."""

    texts: list[str]
    done: Fetched | None = None


class Calls(Fields):
    """
    An embedding over a client of ours.

    The framework's own methods would lose the usage, look into the cache under the bare text,
    and leave requests running when one has failed; the events are the same.
    """

    _cache: Cache = PrivateAttr()

    def _use(self, client: Client) -> Self:
        deployed = None if client.deployment is None else client.deployment.shown()
        self._cache = Cache(
            place=json.dumps([self.base_url, self.model_name, deployed], sort_keys=True),
            dimensions=self.dimensions,
            prompts={"query": self.query_prompt, "document": self.document_prompt},
        )
        return super()._use(client)

    def get_query_embedding(self, query: str) -> list[float]:
        """The vector of a query."""
        return self._told([query], "query")[0]

    async def aget_query_embedding(self, query: str) -> list[float]:
        """Like `get_query_embedding`, without blocking the event loop."""
        return (await self._atold([query], "query"))[0]

    def get_text_embedding(self, text: str) -> list[float]:
        """The vector of a text."""
        return self._told([text], "document")[0]

    async def aget_text_embedding(self, text: str) -> list[float]:
        """Like `get_text_embedding`, without blocking the event loop."""
        return (await self._atold([text], "document"))[0]

    def get_text_embedding_batch(
        self, texts: list[str], show_progress: bool = False, **kwargs: Any
    ) -> list[list[float]]:
        """One vector a text, in their order; `embed_batch_size` texts in a request."""
        with _progress(texts, shown=show_progress) as advance:
            vectors: list[list[float]] = []
            for batch in self._batches(texts):
                vectors += self._told(batch, "document")
                advance(len(batch))
        return vectors

    async def aget_text_embedding_batch(
        self, texts: list[str], show_progress: bool = False, **kwargs: Any
    ) -> list[list[float]]:
        """Like the other, with `num_workers` requests at once; an error cancels the others."""
        with _progress(texts, shown=show_progress) as advance:

            async def one(batch: list[str]) -> list[list[float]]:
                vectors = await self._atold(batch, "document")
                advance(len(batch))
                return vectors

            work = map(one, self._batches(texts))
            parts = await gather(work, most=self.num_workers or _AT_ONCE)
        return [vector for part in parts for vector in part]

    def _get_query_embedding(self, query: str) -> list[float]:
        return _rows(self._client.encode([query], input_type="query"))[0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return _rows(await self._client.aencode([query], input_type="query"))[0]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return (await self._aget_text_embeddings([text]))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return _rows(self._client.encode(texts))

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return _rows(await self._client.aencode(texts))

    def _get_text_embeddings_cached(self, texts: list[str]) -> list[list[float]]:
        return self._fetch(texts, "document").vectors

    async def _aget_text_embeddings_cached(self, texts: list[str]) -> list[list[float]]:
        return (await self._afetch(texts, "document")).vectors

    def _batches(self, texts: Sequence[str]) -> Iterator[list[str]]:
        if isinstance(texts, str | bytes):
            raise TypeError("texts is one string; give a list of strings")
        most = self.embed_batch_size
        return (list(texts[at : at + most]) for at in range(0, len(texts), most))

    def _told(self, texts: list[str], input_type: InputType) -> list[list[float]]:
        with self._events(_Batch(texts)) as batch:
            done = batch.done = self._fetch(texts, input_type)
        return done.vectors

    async def _atold(self, texts: list[str], input_type: InputType) -> list[list[float]]:
        with self._events(_Batch(texts)) as batch:
            done = batch.done = await self._afetch(texts, input_type)
        return done.vectors

    @contextmanager
    def _events(self, batch: _Batch) -> Iterator[_Batch]:
        payload = self.to_payload()
        _dispatcher.event(EmbeddingStartEvent(model_dict=payload))
        with self.callback_manager.event(
            CBEventType.EMBEDDING, payload={EventPayload.SERIALIZED: payload}
        ) as event:
            yield batch
            assert batch.done is not None
            vectors, usage = batch.done.vectors, counts(batch.done.usage)
            event.on_end(
                payload={
                    EventPayload.CHUNKS: batch.texts,
                    EventPayload.EMBEDDINGS: vectors,
                    EventPayload.ADDITIONAL_KWARGS: {"usage": usage},
                }
            )
        _dispatcher.event(EmbeddingUsageEvent(chunks=batch.texts, embeddings=vectors, usage=usage))

    def _space(self) -> str | None:
        return self._client.vector_space

    def _fetch(self, texts: list[str], input_type: InputType) -> Fetched:
        if self.embeddings_cache is None:
            result = self._embed(texts, input_type)
            return Fetched(_rows(result), result.usage)
        steps = self._cache.fetch(texts, input_type, stated=self._space)
        said: Said = None
        while True:
            try:
                step = steps.send(said)
            except StopIteration as stop:
                fetched: Fetched = stop.value
                return fetched
            said = self._act(step, input_type)

    async def _afetch(self, texts: list[str], input_type: InputType) -> Fetched:
        if self.embeddings_cache is None:
            result = await self._aembed(texts, input_type)
            return Fetched(_rows(result), result.usage)
        steps = self._cache.fetch(texts, input_type, stated=self._space)
        said: Said = None
        while True:
            try:
                step = steps.send(said)
            except StopIteration as stop:
                fetched: Fetched = stop.value
                return fetched
            said = await self._aact(step, input_type)

    def _act(self, step: Step, input_type: InputType) -> Said:
        store = self.embeddings_cache
        assert store is not None
        match step:
            case Look(key):
                found: Said = store.get(key, collection=COLLECTION)
                return found
            case Keep(key, value):
                store.put(key, value, collection=COLLECTION)
                return None
            case Embed(texts):
                return self._embed(texts, input_type)

    async def _aact(self, step: Step, input_type: InputType) -> Said:
        store = self.embeddings_cache
        assert store is not None
        match step:
            case Look(key):
                found: Said = await store.aget(key, collection=COLLECTION)
                return found
            case Keep(key, value):
                await store.aput(key, value, collection=COLLECTION)
                return None
            case Embed(texts):
                return await self._aembed(texts, input_type)

    def _embed(self, texts: Sequence[str], input_type: InputType) -> EmbeddingResult:
        if self.rate_limiter is not None:
            self.rate_limiter.acquire()
        return self._client.encode(texts, input_type=input_type)

    async def _aembed(self, texts: Sequence[str], input_type: InputType) -> EmbeddingResult:
        if self.rate_limiter is not None:
            await self.rate_limiter.async_acquire()
        return await self._client.aencode(texts, input_type=input_type)


def _rows(result: EmbeddingResult) -> list[list[float]]:
    rows: list[list[float]] = result.vectors.tolist()
    return rows


@contextmanager
def _progress(texts: Sequence[str], *, shown: bool) -> Iterator[Callable[[int], object]]:
    """What is told how many texts are done anew."""
    bar = get_tqdm_iterable(texts, shown, "Generating embeddings")
    try:
        yield getattr(bar, "update", lambda _: None)
    finally:
        getattr(bar, "close", lambda: None)()
