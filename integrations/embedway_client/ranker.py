"""Orders documents by relevance: through a server, or in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

import msgspec

from embedway_client.local_rerank import LocalRerank
from embedway_client.text import checked, checked_one, cut, room
from embedway_upstream import (
    RerankRequest,
    RerankResponse,
    RerankResult,
    UpstreamFailed,
    Usage,
)
from embedway_upstream.gather import gather

if TYPE_CHECKING:
    from embedway_client.attempt import Answer
    from embedway_client.line import Line
    from embedway_client.settings import Settings

__all__ = ["Ranker"]

# The gateway's own bound for one request. It cuts that for its upstreams, and sees to it that one
# engine scores all: of several requests only we could.
_MOST_DOCUMENTS = 10_000

_encode = msgspec.json.Encoder().encode


class Ranker:
    """
    Every document is scored against the query alone, so that more than one request takes are sent
    in several: what a server takes, or to a deployment `batch_size`. `line` leads there; None is
    this process.
    """

    def __init__(self, settings: Settings, line: Line | None) -> None:
        self._settings = settings
        self._line = line
        self._local = LocalRerank(settings.model)
        self._report = settings.report()

    def rank(self, query: str, documents: Sequence[str], top_n: int | None) -> RerankResponse:
        """
        The best `top_n`. Raises `TypeError` for what is not text, `ValueError` for an empty text,
        which no engine can judge, for `top_n` under 1 and where the engine does not rerank.
        """
        request = self._request(query, documents, top_n)
        if not request.documents:
            return _nothing(request)
        if self._line is None:
            return self._reported(self._local.rank(request), request)
        endpoint, line = self._settings.rerank_endpoint(), self._line
        parts = [_told(line.ask(endpoint, piece)) for piece in self._pieces(request)]
        return self._reported(_joined(parts, request), request)

    async def arank(
        self, query: str, documents: Sequence[str], top_n: int | None
    ) -> RerankResponse:
        """Like `rank`, with several requests at once; the first error cancels the others."""
        request = self._request(query, documents, top_n)
        if not request.documents:
            return _nothing(request)
        if self._line is None:
            done = await asyncio.to_thread(self._local.rank, request)
            return self._reported(done, request)
        endpoint, line = self._settings.rerank_endpoint(), self._line

        async def one(piece: RerankRequest) -> _Part:
            return _told(await line.aask(endpoint, piece))

        work = (one(piece) for piece in self._pieces(request))
        parts = await gather(work, most=self._settings.max_concurrency)
        return self._reported(_joined(parts, request), request)

    def close(self) -> None:
        """Free the local model."""
        self._local.close()

    def _request(self, query: str, documents: Sequence[str], top_n: int | None) -> RerankRequest:
        if top_n is not None and top_n < 1:
            raise ValueError(f"top_n={top_n}: 1 or more are possible, and None for all")
        texts = checked(documents, "documents")
        asked = checked_one(query, "query")
        if not asked:
            raise ValueError("query is an empty string")
        if "" in texts:
            raise ValueError(f"documents[{texts.index('')}] is an empty string")
        return RerankRequest(self._settings.model, asked, texts, top_n)

    def _reported(self, response: RerankResponse, request: RerankRequest) -> RerankResponse:
        return self._report.ranked(response, len(request.documents))

    def _pieces(self, request: RerankRequest) -> Iterator[RerankRequest]:
        """All documents in requests that the server takes; of each piece all are asked for."""
        endpoint = self._settings.rerank_endpoint()
        limits = endpoint.engine.rerank_limits
        direct = self._settings.deployment is not None
        most = self._settings.batch_size if direct else _MOST_DOCUMENTS
        most = min(most, limits.max_inputs or most)
        most_bytes = room(limits.max_bytes, endpoint.platform.max_bytes)
        most_bytes -= len(_encode(request.query))
        for documents in cut(
            request.documents,
            most,
            most_bytes=most_bytes,
            size_of=lambda text: len(_encode(text)) + 1,
        ):
            yield replace(request, documents=documents, top_n=None)


@dataclass(frozen=True, slots=True)
class _Part:
    """What one request was answered, and by which engine; None where the server does not tell."""

    response: RerankResponse
    engine: str | None


def _told(answer: Answer[RerankResponse]) -> _Part:
    upstream = answer.headers.get("x-embedway-upstream", answer.response.served_by)
    fallback = "x-embedway-fallback" in answer.headers
    response = replace(answer.response, served_by=upstream, fallback=fallback)
    return _Part(response, answer.headers.get("x-embedway-engine"))


def _require_one_scale(parts: Sequence[_Part]) -> None:
    """One upstream's scores can be compared, and those of several of one engine."""
    served = sorted({part.response.served_by for part in parts})
    engines = {part.engine for part in parts}
    if len(engines) == 1 and None not in engines:
        return
    if len({part.response.fallback for part in parts}) > 1:
        raise UpstreamFailed(
            "the server's fallback scored some of the documents, and its scores cannot be compared "
            "with the others'; rank them again"
        )
    if len(engines) > 1 or len(served) > 1:
        told = " and ".join(sorted(one or "unknown" for one in engines))
        raise UpstreamFailed(
            f"the documents took several requests, which several upstreams answered "
            f"({', '.join(served)}; engine: {told}), and their scores cannot be compared unless "
            "one engine gave them all; rank fewer documents at once"
        )


def _joined(pieces: Sequence[_Part], request: RerankRequest) -> RerankResponse:
    """
    The best of all pieces, of equal scores the earlier first; usage is summed. Raises
    `UpstreamFailed` where several engines scored them: their scales may differ.
    """
    _require_one_scale(pieces)
    parts = [piece.response for piece in pieces]
    results: list[RerankResult] = []
    start = 0
    for part in parts:
        results += [
            RerankResult(start + result.index, result.relevance_score) for result in part.results
        ]
        # Each piece has a result for every document of its own.
        start += len(part.results)
    results.sort(key=lambda result: (-result.relevance_score, result.index))
    return RerankResponse(
        model=request.model,
        results=tuple(results[: request.top_n]),
        usage=reduce(add, (part.usage for part in parts)),
        served_by=next((part.served_by for part in parts if part.fallback), parts[0].served_by),
        fallback=any(part.fallback for part in parts),
    )


def _nothing(request: RerankRequest) -> RerankResponse:
    return RerankResponse(request.model, (), Usage(0, 0), served_by="")
