"""The cross-encoder in this process: loaded when first needed, and perhaps never."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from embedway_upstream import RerankRequest, RerankResponse, RerankResult, Usage
from embedway_upstream.check import check_rerank

if TYPE_CHECKING:
    from embedway_local import LocalReranker

__all__ = ["LocalRerank"]


class LocalRerank:
    """A `LocalReranker`, opened on first use; safe to use from several threads."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._reranker: LocalReranker | None = None
        self._lock = threading.Lock()

    def rank(self, request: RerankRequest) -> RerankResponse:
        """
        The best `top_n`, of equal scores the earlier document first.

        Raises `ImportError` where the extra is not installed, `embedway_local.LocalError` where
        the model cannot be had or does not rerank.
        """
        done = self._open().score(request.query, request.documents)
        scores: list[float] = done.scores.tolist()
        order = sorted(range(len(scores)), key=lambda index: -scores[index])[: request.top_n]
        response = RerankResponse(
            model=request.model,
            results=tuple(RerankResult(index, scores[index]) for index in order),
            usage=Usage(done.tokens, done.tokens),
            served_by="local",
        )
        return check_rerank(response, request)

    def close(self) -> None:
        """Free the model; the next use loads it again."""
        with self._lock:
            reranker, self._reranker = self._reranker, None
        if reranker is not None:
            reranker.close()

    def _open(self) -> LocalReranker:
        with self._lock:
            if self._reranker is None:
                self._reranker = _load(self._model)
            return self._reranker


def _load(model: str) -> LocalReranker:
    try:
        from embedway_local import LocalReranker

        return LocalReranker(model)
    except ModuleNotFoundError as error:
        raise ImportError(
            f'{error.name} is missing; to rerank in this process: pip install "embedway[local]"',
            name=error.name,
        ) from error
