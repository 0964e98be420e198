"""Embeds the texts of one call: tokenised by windows, sorted, and computed on all workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from embedway_local.batch import even_share, plan
from embedway_local.error import NotNumbers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedway_local.gpu.compute import Compute
    from embedway_local.provider import Loaded
    from embedway_local.tokenise import Tokeniser, Tokens
    from embedway_local.work import Workers

__all__ = ["WINDOW", "Call", "LocalEmbedding", "never"]

# Texts tokenised at a time: bounds memory, and is enough to sort by length within.
WINDOW = 2048


@dataclass(frozen=True, slots=True)
class LocalEmbedding:
    """Vectors, and what they cost."""

    vectors: NDArray[np.float32]
    """(n, d), row i of text i, of unit length."""
    tokens: int
    """Tokens that were read, special tokens included, after cutting at the maximum."""
    truncated: int
    """How many texts were cut."""


def never() -> bool:
    """Says that a call is to go on."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What the texts are embedded with; errors count them from `first`."""

    tokeniser: Tokeniser
    loaded: Loaded
    workers: Workers
    prompt: str
    first: int = 0
    stopped: Callable[[], bool] = never
    """Once it says so, the texts that have not begun keep no vector."""

    def run(self, texts: Sequence[str]) -> LocalEmbedding:
        """One vector a text; raises what the tokeniser and the session raise."""
        vectors = np.empty((len(texts), self.loaded.session.dimensions), dtype=np.float32)
        tokens = truncated = 0

        def jobs() -> Iterator[Callable[[], None]]:
            nonlocal tokens, truncated
            for start in range(0, len(texts), WINDOW):
                window = texts[start : start + WINDOW]
                ids, cut = self._tokenise(window, start)
                tokens += sum(map(len, ids))
                truncated += cut
                rows = vectors[start : start + len(window)]
                for batch in self._batches([len(item) for item in ids]):
                    if self.stopped():
                        return
                    yield partial(self._run, self.loaded.session, ids, batch, rows, start)

        def only() -> None:
            nonlocal tokens, truncated
            ids, truncated = self._tokenise(texts, 0)
            tokens = len(ids[0])
            self._run(self._for_one(), ids, [0], vectors, 0)

        if len(texts) != 1 or not self.workers.alone(only):
            self.workers.each(jobs())
        return LocalEmbedding(vectors, tokens, truncated)

    def _tokenise(self, texts: Sequence[str], start: int) -> tuple[list[Tokens], int]:
        return self.tokeniser.encode(texts, prompt=self.prompt, first=self.first + start)

    def _for_one(self) -> Compute:
        alone = self.loaded.alone
        return (alone.session if alone else None) or self.loaded.session

    def _batches(self, lengths: list[int]) -> list[list[int]]:
        """The batches of a window; few texts are spread over all cores, but never over cards."""
        budget = self.loaded.tokens
        if self.loaded.device == "cpu":
            budget = even_share(sum(lengths), budget, self.loaded.callers)
        return plan(lengths, budget, self.loaded.squares)

    def _run(
        self,
        session: Compute,
        ids: Sequence[Sequence[int]],
        batch: list[int],
        rows: NDArray[np.float32],
        start: int,
    ) -> None:
        try:
            rows[batch] = session.run([ids[index] for index in batch])
        except NotNumbers as error:
            places = sorted(self.first + start + batch[row] for row in error.rows)
            raise NotNumbers(error.reason, places) from error
