"""A cross-encoder in this process as an upstream, loaded and run off the event loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from embedway_upstream import (
    EmbeddingRequest,
    EmbeddingResponse,
    InvalidRequest,
    RerankRequest,
    RerankResponse,
    UpstreamFailed,
    Usage,
)
from embedway_upstream.check import check_rerank
from embedway_upstream.rerank import RerankResult

if TYPE_CHECKING:
    from embedway_gateway.runtime import Loads
    from embedway_local import LocalRanking, LocalReranker

__all__ = ["LocalRerank", "OnlyReranks", "open_reranker"]

_log = logging.getLogger("embedway.gateway")

# Calls that wait inside the runtime; it has its own pool of as many workers as cores.
_CALLERS = 16
_AGAIN = 30.0


class LocalRerank:
    """
    Engine `local` of a model that reranks. `open` makes the runtime, and may download.

    It is loaded once, whoever asks first; a load that failed is tried again when a request comes,
    but not within 30 seconds. Its threads end when nothing refers to it any more.
    """

    def __init__(
        self,
        name: str,
        open_: Callable[[], LocalReranker],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._open = open_
        self._clock = clock
        self._threads = ThreadPoolExecutor(_CALLERS, "embedway-rerank")
        self._loading: asyncio.Task[LocalReranker] | None = None
        self._failed_at = 0.0
        self.problem = "the model is being loaded"
        """Why it does not serve; empty when it does."""

    async def load(self) -> LocalReranker:
        """The reranker; raises `UpstreamFailed` when it cannot be had."""
        failed = self._loading is not None and self._loading.done() and bool(self.problem)
        if self._loading is None or (failed and self._clock() - self._failed_at > _AGAIN):
            self._loading = asyncio.create_task(self._load())
        # Shielded: a caller that goes away does not stop the loading for the others.
        return await asyncio.shield(self._loading)

    async def send(self, request: RerankRequest) -> RerankResponse:
        """The documents, the most relevant first."""
        from embedway_local import LocalError

        reranker = await self.load()
        score = partial(reranker.score, request.query, request.documents)
        try:
            done = await asyncio.get_running_loop().run_in_executor(self._threads, score)
        except ValueError as error:
            raise InvalidRequest(str(error), upstream=self.name) from None
        except (LocalError, RuntimeError) as error:
            raise UpstreamFailed(
                "the local runtime failed", upstream=self.name, detail=str(error)
            ) from error
        return check_rerank(_response(request, done, self.name), request)

    async def _load(self) -> LocalReranker:
        from embedway_local import LocalError

        started = self._clock()
        try:
            reranker = await asyncio.get_running_loop().run_in_executor(self._threads, self._open)
        except (LocalError, ValueError, OSError, RuntimeError, ImportError) as error:
            self._failed_at = self._clock()
            self.problem = _told(error)
            _log.error("the local reranker %s cannot be loaded: %s", self.name, error)
            raise UpstreamFailed(
                "the local model could not be loaded", upstream=self.name, detail=str(error)
            ) from error
        self.problem = ""
        spent = self._clock() - started
        _log.info("loaded %s on %s in %.1f s", reranker.model, reranker.device, spent)
        return reranker


class OnlyReranks:
    """What a model that only reranks is when it is asked for vectors."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """Refuse."""
        raise InvalidRequest(f"{request.model!r} reranks only", upstream=self.name)


def open_reranker(loads: Loads) -> LocalReranker:
    """Load it; may download, and takes a second or more."""
    # Imported here: it costs 0.1 s, and a gateway without a local model never needs it.
    from embedway_local import LocalReranker

    return LocalReranker(loads.model, device=loads.device, max_tokens=loads.max_tokens)


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


def _told(error: Exception) -> str:
    if isinstance(error, ImportError):
        return f'{error.name} is not installed: pip install "embedway[local]"'
    return next(iter(str(error).splitlines()), type(error).__name__)
