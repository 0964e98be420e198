"""Answers texts that were embedded before, and asks for the others only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from embedway_gateway.cache.key import digests
from embedway_gateway.cache.store import Store
from embedway_gateway.cache.value import Known, pack, unpack
from embedway_gateway.layers.flight import shares
from embedway_gateway.metric import Metrics
from embedway_upstream import BadVector, EmbeddingRequest, EmbeddingResponse, Service, Usage

__all__ = ["Cache"]


class Cache:
    """
    `space` tells the name of the vector space, which never comes back once it was left; None where
    the cache may not be used now. What is known of another space than that of the fresh vectors is
    not put beside them, and an answer during which the space changed is not stored.

    `typed`: an upstream embeds a query otherwise than a document, beyond its prompt.
    """

    def __init__(
        self,
        inner: Service[EmbeddingRequest, EmbeddingResponse],
        store: Store,
        space: Callable[[], str | None],
        metrics: Metrics,
        *,
        model: str,
        typed: bool,
    ) -> None:
        self._inner = inner
        self._store = store
        self._space = space
        self._typed = typed
        self._hits = metrics.cache_texts.labels(model, "hit")
        self._misses = metrics.cache_texts.labels(model, "miss")

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """A vector for each input, in their order, bit for bit as it was when it was asked for."""
        space = self._space()
        if space is None:
            return await self._past(request)
        facts = (space, request.input_type if self._typed else "", request.tenant)
        keys = digests(request.inputs, facts)
        values = await self._store.get(keys)
        known = [None if value is None else unpack(value) for value in values]
        missing = [place for place, one in enumerate(known) if one is None]
        sizes = {len(one.vector) for one in known if one is not None}
        if self._space() != space or len(sizes) > 1:
            return await self._past(request)
        if not missing:
            return self._whole(request, known)
        texts = tuple(request.inputs[place] for place in missing)
        whole = len(missing) == len(known)
        try:
            response = await self._inner.send(request if whole else replace(request, inputs=texts))
        except BadVector as error:
            error.count(missing[row] for row in error.rows)
            raise
        size = 4 * response.vectors.shape[1]
        if self._space() != space or (sizes and sizes != {size}):
            if whole:
                self._misses.inc(len(texts))
                return response
            # What was known may be of another model than what was answered.
            return await self._past(request)
        fresh = _known(response, texts)
        self._store.put(
            [(keys[place], pack(one)) for place, one in zip(missing, fresh, strict=True)]
        )
        self._misses.inc(len(texts))
        if whole:
            return response
        self._hits.inc(len(known) - len(missing))
        return _join(response, known, missing)

    async def _past(self, request: EmbeddingRequest) -> EmbeddingResponse:
        self._misses.inc(len(request.inputs))
        return await self._inner.send(request)

    def _whole(self, request: EmbeddingRequest, known: Sequence[Known | None]) -> EmbeddingResponse:
        found = [one for one in known if one is not None]
        self._hits.inc(len(found))
        usage = _usage(found)
        return EmbeddingResponse(
            model=request.model,
            vectors=_rows(found),
            usage=usage,
            served_by="cache",
            cached=len(found),
            cached_tokens=usage.total_tokens,
        )


def _known(response: EmbeddingResponse, texts: Sequence[str]) -> list[Known]:
    tokens = shares(response.usage.total_tokens, texts)
    estimated = response.usage.estimated or len(texts) > 1
    rows = np.ascontiguousarray(response.vectors, "<f4")
    return [Known(count, estimated, row.tobytes()) for count, row in zip(tokens, rows, strict=True)]


def _join(
    response: EmbeddingResponse, known: Sequence[Known | None], missing: Sequence[int]
) -> EmbeddingResponse:
    found = [one for one in known if one is not None]
    places = [place for place, one in enumerate(known) if one is not None]
    vectors = np.empty((len(known), response.vectors.shape[1]), np.float32)
    vectors[missing] = response.vectors
    vectors[places] = _rows(found)
    usage = _usage(found)
    return replace(
        response,
        vectors=vectors,
        usage=response.usage + usage,
        cached=len(found),
        cached_tokens=usage.total_tokens,
    )


def _rows(found: Sequence[Known]) -> NDArray[np.float32]:
    # A bytearray, because an array over bytes could not be written to.
    joined = bytearray().join([one.vector for one in found])
    return np.frombuffer(joined, "<f4").reshape(len(found), -1)


def _usage(found: Sequence[Known]) -> Usage:
    tokens = sum(one.tokens for one in found)
    return Usage(tokens, tokens, estimated=any(one.estimated for one in found))
