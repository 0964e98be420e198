"""A provider behind LiteLLM as something that embeds, and as something that reranks."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field, replace

import msgspec

from embedway_gateway.hosted.error import translate
from embedway_gateway.hosted.library import Library
from embedway_gateway.hosted.provider import encoding, reads_as_file, words
from embedway_upstream import (
    BadReply,
    EmbeddingError,
    EmbeddingRequest,
    EmbeddingResponse,
    InvalidRequest,
    RerankRequest,
    RerankResponse,
    Usage,
)
from embedway_upstream.check import check, check_rerank
from embedway_upstream.engines.ranking import ranked, reading
from embedway_upstream.engines.usage import Told, counted, estimate
from embedway_upstream.engines.vector import LooseReply, flaw, numbered, row, stack

__all__ = ["Account", "Hosted", "HostedRerank"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Which model of which provider, and as whom; None leaves it to LiteLLM's environment."""

    name: str
    """The upstream's."""
    model: str
    api_key: str | None = field(default=None, repr=False)
    api_base: str | None = None
    timeout: float = 55.0
    """
    Of one call. Always the same, and the deadline left to the layer above: LiteLLM keeps a pool of
    connections for every timeout that it is given.
    """

    def asked(self) -> dict[str, object]:
        """What every call says. LiteLLM's retries are off: the layers above retry."""
        known = {"api_key": self.api_key, "api_base": self.api_base}
        given = {key: value for key, value in known.items() if value is not None}
        calm = {"timeout": self.timeout, "num_retries": 0, "max_retries": 0}
        return {"model": self.model, **given, **calm}


class _Item(msgspec.Struct):
    index: int
    embedding: str | list[float]


class _Embedded(msgspec.Struct):
    data: list[_Item]
    usage: Told | None = None


class Hosted:
    """Engine `litellm`, for embedding."""

    def __init__(self, account: Account, library: Library, *, dimensions: int | None) -> None:
        self._account = account
        self._dimensions = dimensions
        self._words = words(account.model)
        self.library = library

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """The vectors, checked. Raises an `EmbeddingError` that names the upstream."""
        name = self._account.name
        litellm = await self.library.load()
        try:
            self._require_texts(request)
            said = self._words.told(request.input_type) if self._words else {}
            call = litellm.aembedding(
                input=list(request.inputs),
                caching=False,
                **encoding(self._account.model),
                **said,
                **self._account.asked(),
            )
            response = _vectors(await _answer(call), request)
            return replace(check(response, request, self._dimensions), served_by=name)
        except EmbeddingError as error:
            error.upstream = name
            raise

    def _require_texts(self, request: EmbeddingRequest) -> None:
        if any(reads_as_file(self._account.model, text) for text in request.inputs):
            raise InvalidRequest(
                "a text begins like a data URL or a file's address (gs://, s3://, files/): "
                "LiteLLM would have this provider embed the file, not the text",
                param="input",
            )


def _vectors(answer: object, request: EmbeddingRequest) -> EmbeddingResponse:
    try:
        reply = msgspec.convert(answer, _Embedded, from_attributes=True)
    except msgspec.ValidationError as error:
        flawed = _flaw(answer, len(request.inputs)) or BadReply(
            "the upstream's reply is not one vector for each text"
        )
        flawed.detail = type(error).__name__
        raise flawed from None
    items = ((item.index, row(item.embedding)) for item in reply.data)
    vectors = stack(numbered(items, len(request.inputs)))
    usage = counted(reply.usage)
    if usage.total_tokens == 0:
        usage = estimate(request.inputs)
    return EmbeddingResponse(request.model, vectors, usage, served_by="")


def _flaw(answer: object, count: int) -> BadReply | None:
    try:
        return flaw(msgspec.convert(answer, LooseReply, from_attributes=True), count)
    except msgspec.ValidationError:
        return None


class _Result(msgspec.Struct):
    index: int
    relevance_score: float


class _Count(msgspec.Struct):
    input_tokens: int | None = None
    total_tokens: int | None = None


class _Meta(msgspec.Struct):
    tokens: _Count | None = None
    billed_units: _Count | None = None


class _Ranked(msgspec.Struct):
    results: list[_Result]
    meta: _Meta | None = None


class HostedRerank:
    """Engine `litellm`, for reranking."""

    def __init__(self, account: Account, library: Library) -> None:
        self._account = account
        self._library = library

    async def send(self, request: RerankRequest) -> RerankResponse:
        """The results, checked. Raises an `EmbeddingError` that names the upstream."""
        name = self._account.name
        litellm = await self._library.load()
        try:
            # All results are asked for, so that one that is missing shows.
            call = litellm.arerank(
                query=request.query, documents=list(request.documents), **self._account.asked()
            )
            response = _results(await _answer(call), request)
            return replace(check_rerank(response, request), served_by=name)
        except EmbeddingError as error:
            error.upstream = name
            raise


def _results(answer: object, request: RerankRequest) -> RerankResponse:
    try:
        reply = msgspec.convert(answer, _Ranked, from_attributes=True)
    except msgspec.ValidationError as error:
        raise BadReply(
            "the upstream's reply is not one score for each document", detail=type(error).__name__
        ) from None
    scores = ((result.index, result.relevance_score) for result in reply.results)
    return ranked(scores, request, _read(reply.meta) or reading(request))


def _read(meta: _Meta | None) -> Usage | None:
    counts = [] if meta is None else [meta.tokens, meta.billed_units]
    told = [one.input_tokens or one.total_tokens or 0 for one in counts if one is not None]
    tokens = max(told, default=0)
    return Usage(tokens, tokens) if tokens > 0 else None


async def _answer(call: Awaitable[object]) -> object:
    """What LiteLLM answers, its errors turned into ours."""
    try:
        return await call
    except Exception as error:  # noqa: BLE001 - its errors have no root, and its bugs come as any
        found = translate(error)
    # Outside of the handler: its text, which may hold inputs, is not kept as our error's context.
    raise found
