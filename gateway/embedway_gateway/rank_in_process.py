"""A local cross-encoder in this process: loaded and computed in threads."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from embedway_gateway.opening import Opening
from embedway_gateway.runtime import Loads, RankFacts, require_unicode

if TYPE_CHECKING:
    from embedway_local import LocalRanking, LocalReranker

__all__ = ["RankInProcess", "rank_in_process"]

# Calls that wait inside the runtime; it has its own pool of as many workers as cores.
_CALLERS = 16
# A call that nobody waits for any more ends after so many documents, as those that embed do.
_SLICE = 256


class RankInProcess:
    """One reranker, whoever uses it. `open_` makes it, and may download."""

    def __init__(
        self,
        name: str,
        open_: Callable[[], LocalReranker],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._threads = ThreadPoolExecutor(_CALLERS, "embedway-rerank")
        self._opening = Opening(name, open_, self._threads, tell=_told, clock=clock)

    @property
    def problem(self) -> str:
        """Why it does not serve; empty when it does."""
        return self._opening.problem

    @property
    def gone(self) -> bool:
        """Never: it is this process."""
        return False

    async def load(self) -> RankFacts:
        """Loaded once, whoever asks first."""
        reranker = await self._opening.get()
        return RankFacts(
            model=reranker.model, device=reranker.device, max_tokens=reranker.max_tokens
        )

    async def score(
        self, query: str, documents: Sequence[str], *, deadline: float | None = None
    ) -> LocalRanking:
        """Score the documents, in a thread; who waits cancels at the deadline."""
        reranker = await self._opening.get()
        given_up = threading.Event()
        work = partial(self._score, reranker, query, documents, given_up)
        try:
            with self._opening.until_closed():
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except asyncio.CancelledError:
            given_up.set()
            raise

    async def close(self) -> None:
        """Stop loading and working, after the pairs that are being computed."""
        await self._opening.close()

    def _score(
        self,
        reranker: LocalReranker,
        query: str,
        documents: Sequence[str],
        given_up: threading.Event,
    ) -> LocalRanking:
        if len(documents) <= _SLICE:
            return reranker.score(query, documents)
        import numpy as np

        from embedway_local import LocalRanking

        # Else a refusal would name a document's place in its slice.
        require_unicode(documents)
        scores = np.empty(len(documents), np.float32)
        tokens = truncated = 0
        for start in range(0, len(documents), _SLICE):
            if given_up.is_set() or self._opening.closed.is_set():
                raise RuntimeError("the call was given up")
            done = reranker.score(query, documents[start : start + _SLICE])
            scores[start : start + _SLICE] = done.scores
            tokens += done.tokens
            truncated += done.truncated
        return LocalRanking(scores, tokens, truncated)


def rank_in_process(name: str, loads: Loads) -> RankInProcess:
    """The model as a configuration names it; nothing is loaded yet."""
    return RankInProcess(name, partial(_open_local, loads))


def _open_local(loads: Loads) -> LocalReranker:
    # Imported here: it costs 0.1 s, and a gateway without a local model never needs it.
    from embedway_local import LocalReranker

    return LocalReranker(loads.model, device=loads.device, max_tokens=loads.max_tokens)


def _told(reranker: LocalReranker) -> str:
    return f"{reranker.model} on {reranker.device}, which reranks"
