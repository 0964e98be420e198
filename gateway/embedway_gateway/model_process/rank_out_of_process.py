"""A local cross-encoder in the model process, as a worker sees it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from embedway_gateway.model_process.lease import Lease, raised
from embedway_gateway.model_process.line import Line
from embedway_gateway.model_process.message import (
    Answer,
    LoadRanker,
    RankerLoaded,
    Score,
    Scored,
)
from embedway_gateway.runtime import Loads, RankFacts, require_unicode
from embedway_upstream import BadReply

if TYPE_CHECKING:
    from embedway_local import LocalRanking

__all__ = ["RankOutOfProcess"]


class RankOutOfProcess:
    """The same as `RankInProcess`, with the same errors; see `Lease` for what happens to it."""

    def __init__(self, name: str, loads: Loads, line: Line, *, patience: float = 10.0) -> None:
        self.name = name
        self._lease = Lease(
            name,
            line,
            ask=partial(LoadRanker, loads=loads),
            read=_facts,
            # Scores are never compared with those of another request.
            same=lambda _new, _old: True,
            patience=patience,
        )

    @property
    def problem(self) -> str:
        """Why it does not serve; empty when it does."""
        return self._lease.problem

    @property
    def gone(self) -> bool:
        """Whether the process ended, and another is being started."""
        return self._lease.gone

    async def load(self) -> RankFacts:
        """Loaded once, whoever asks first."""
        return await self._lease.load()

    async def score(
        self, query: str, documents: Sequence[str], *, deadline: float | None = None
    ) -> LocalRanking:
        """Score the documents in the model process."""
        from embedway_local import LocalRanking

        lease = self._lease
        load = await lease.number()
        ask = Score(lease.line.number(), load, query, tuple(documents), lease.seconds(deadline))
        try:
            answer, payload = await lease.line.ask(ask)
        except UnicodeEncodeError:
            require_unicode([query])
            require_unicode(documents)
            raise
        if not isinstance(answer, Scored):
            raise raised(answer, self.name)
        if payload.nbytes != len(documents) * 4:
            raise BadReply(f"the model process gave {payload.nbytes} bytes of scores")
        scores = payload.view("<f4").astype(np.float32, copy=False)
        return LocalRanking(scores, answer.tokens, answer.truncated)

    async def close(self) -> None:
        """Tell that this worker needs it no more."""
        await self._lease.close()


def _facts(answer: Answer) -> RankFacts:
    if not isinstance(answer, RankerLoaded):
        raise BadReply("the model process answered another question")
    return RankFacts(model=answer.model, device=answer.device, max_tokens=answer.max_tokens)
