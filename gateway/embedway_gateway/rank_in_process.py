"""A local cross-encoder in this process: loaded and computed in threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from embedway_gateway.opening import Opening
from embedway_gateway.runtime import Loads, RankFacts

if TYPE_CHECKING:
    from embedway_local import LocalRanking, LocalReranker

__all__ = ["RankInProcess", "rank_in_process"]

# Calls that wait inside the runtime; it has its own pool of as many workers as cores.
_CALLERS = 16


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
        work = partial(reranker.score, query, documents)
        with self._opening.until_closed():
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def close(self) -> None:
        """Stop loading and working, after the pairs that are being computed."""
        await self._opening.close()


def rank_in_process(name: str, loads: Loads) -> RankInProcess:
    """The model as a configuration names it; nothing is loaded yet."""
    return RankInProcess(name, partial(_open_local, loads))


def _open_local(loads: Loads) -> LocalReranker:
    # Imported here: it costs 0.1 s, and a gateway without a local model never needs it.
    from embedway_local import LocalReranker

    return LocalReranker(loads.model, device=loads.device, max_tokens=loads.max_tokens)


def _told(reranker: LocalReranker) -> str:
    return f"{reranker.model} on {reranker.device}, which reranks"
