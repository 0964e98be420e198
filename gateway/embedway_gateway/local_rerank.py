"""A local cross-encoder as an upstream, whichever process computes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedway_gateway.runtime import Ranker, RankFacts
from embedway_upstream import (
    EmbeddingRequest,
    EmbeddingResponse,
    InvalidRequest,
    RerankRequest,
    RerankResponse,
    UpstreamError,
    UpstreamFailed,
    Usage,
)
from embedway_upstream.check import check_rerank
from embedway_upstream.rerank import RerankResult

if TYPE_CHECKING:
    from embedway_local import LocalRanking

__all__ = ["LocalRerank", "OnlyReranks"]


class LocalRerank:
    """Engine `local` of a model that reranks: a ranker under an upstream's name."""

    def __init__(self, name: str, ranker: Ranker) -> None:
        self.name = name
        self.ranker = ranker

    @property
    def problem(self) -> str:
        """Why it does not serve; empty when it does."""
        return self.ranker.problem

    def present(self) -> bool:
        """Whether there is a process that computes it; no while that is being replaced."""
        return not self.ranker.gone

    async def load(self) -> RankFacts:
        """What was loaded, once, whoever asks first. Raises `UpstreamError`."""
        try:
            return await self.ranker.load()
        except UpstreamError as error:
            # The model may be shared with an upstream of another name.
            error.upstream = self.name
            raise

    async def send(self, request: RerankRequest) -> RerankResponse:
        """The documents, the most relevant first."""
        # Before the import, which costs 0.1 s once: whoever loads makes it in a thread.
        await self.load()
        from embedway_local import LocalError

        try:
            done = await self.ranker.score(
                request.query, request.documents, deadline=request.deadline
            )
        except ValueError as error:
            raise InvalidRequest(str(error), upstream=self.name) from None
        except (LocalError, RuntimeError) as error:
            raise UpstreamFailed(
                "the local runtime failed", upstream=self.name, detail=str(error)
            ) from error
        except UpstreamError as error:
            error.upstream = self.name
            raise
        return check_rerank(_response(request, done, self.name), request)

    async def close(self) -> None:
        """Stop loading and working."""
        await self.ranker.close()


class OnlyReranks:
    """What a model that only reranks is when it is asked for vectors."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """Refuse."""
        raise InvalidRequest(f"{request.model!r} reranks only", upstream=self.name)


def _response(request: RerankRequest, done: LocalRanking, name: str) -> RerankResponse:
    scores: list[float] = done.scores.tolist()
    # Equal scores keep the order of the request.
    order = sorted(range(len(scores)), key=lambda index: -scores[index])[: request.top_n]
    return RerankResponse(
        model=request.model,
        results=tuple(RerankResult(index, scores[index]) for index in order),
        usage=Usage(done.tokens, done.tokens),
        served_by=name,
    )
