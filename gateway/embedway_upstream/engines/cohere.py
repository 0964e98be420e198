"""Reranking in Cohere's shape, which OVMS, infinity and vLLM imitate."""

from __future__ import annotations

import msgspec

from embedway_upstream.embedding import Usage
from embedway_upstream.engines.accent import Accent
from embedway_upstream.engines.form import UNREADABLE
from embedway_upstream.engines.limit import Limits
from embedway_upstream.engines.ranking import ranked, reading
from embedway_upstream.engines.usage import Told, counted
from embedway_upstream.error import BadReply
from embedway_upstream.rerank import RerankRequest, RerankResponse

__all__ = ["Cohere"]


class _Body(msgspec.Struct):
    model: str
    query: str
    documents: tuple[str, ...]


class _Result(msgspec.Struct):
    index: int
    relevance_score: float


class _Reply(msgspec.Struct):
    results: list[_Result]
    usage: Told | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Reply).decode


class Cohere(Accent):
    """
    `top_n` is not sent but applied to the reply, and the documents are not asked for: we have
    them (each engine returns them in another form, vLLM always).
    """

    rerank_path = "/rerank"
    rerank_limits = Limits()

    def encode_rerank(self, request: RerankRequest) -> bytes:
        """The body of the request."""
        return _encode(_Body(self._model or request.model, request.query, request.documents))

    def decode_rerank(self, body: bytes, request: RerankRequest) -> RerankResponse:
        """The results, the most relevant first."""
        try:
            reply = _decode(body)
        except UNREADABLE as error:
            raise BadReply(
                "the upstream's reply is not in Cohere's form", detail=type(error).__name__
            ) from None
        return ranked(
            ((result.index, result.relevance_score) for result in reply.results),
            request,
            self.rerank_usage(counted(reply.usage), request),
        )

    def rerank_usage(self, told: Usage, request: RerankRequest) -> Usage:
        """What was told, else an estimate that says that it is one."""
        return told if told.total_tokens > 0 else reading(request)
