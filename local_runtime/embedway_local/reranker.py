"""Scores documents for a query in this process, with a cross-encoder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from embedway_local.batch import plan
from embedway_local.error import DeviceUnavailable, NotNumbers
from embedway_local.gpu.target import read_target
from embedway_local.graph.cache import built
from embedway_local.home import embedway_home
from embedway_local.provider import Device, Loaded, load
from embedway_local.scoring import read_scoring
from embedway_local.session import Session
from embedway_local.source.find import find
from embedway_local.store import Store
from embedway_local.tokenise import Tokeniser, Tokens
from embedway_local.work import Workers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedway_local.checkpoint import Checkpoint
    from embedway_local.scoring import Scoring

__all__ = ["LocalRanking", "LocalReranker"]

# Pairs tokenised at a time: bounds memory, and is enough to sort by length within.
_WINDOW = 1024


@dataclass(frozen=True, slots=True)
class LocalRanking:
    """Scores, and what they cost."""

    scores: NDArray[np.float32]
    """(n,), of document i at i; higher is more relevant."""
    tokens: int
    """Tokens that were read, the query's once for each document, after cutting."""
    truncated: int
    """How many pairs were cut."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """What one process uses of a model."""

    pid: int
    tokeniser: Tokeniser
    loaded: Loaded
    workers: Workers


class LocalReranker:
    """
    A cross-encoder in this process, on ONNX Runtime; scores as sentence-transformers gives them.

    `model` is a folder or a name on the Hugging Face hub, as for `LocalEmbedder`. May be used from
    many threads at once, and in a forked child, on the processor.

        reranker = LocalReranker("cross-encoder/ms-marco-MiniLM-L6-v2")
        reranker.rerank("a question", ["a text", "another"])  # float32 (2,)

    `device`: "auto" and "cpu" are the processor; cards do not run rerankers yet, and are refused.
    `threads`: cores to use, by default all that this process may use.
    `max_tokens`: of a pair; a longer one is cut, the longer of its two texts first.
    `home`: the model store; by default `EMBEDWAY_HOME`.

    Raises `ModelNotFound`, `ModelCorrupt`, `ModelUnsupported` or `DeviceUnavailable`.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        device: Device = "auto",
        threads: int | None = None,
        max_tokens: int | None = None,
        home: Path | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"threads={threads}: at least 1 is needed")
        home = home or embedway_home()
        # Its head reads the first token, or what its settings say; nothing else pools.
        checkpoint = find(model, Store(home), pooling="cls", max_tokens=max_tokens, pipeline=False)
        scoring = read_scoring(checkpoint)
        graph = built(checkpoint, home, scoring=scoring)
        self.model = str(model)
        self._open = partial(_open, checkpoint, scoring, graph, threads)
        self._opened = self._open(device)
        self.device = self._opened.loaded.device
        self.max_tokens = checkpoint.max_tokens

    def rerank(self, query: str, documents: Sequence[str]) -> NDArray[np.float32]:
        """
        How relevant each document is to the query: float32 (n,), higher is more relevant.

        Raises `ValueError` for a text with lone surrogates, `TypeError` for anything but a string
        and a sequence of strings, `LocalError` when the device fails.
        """
        return self.score(query, documents).scores

    def score(self, query: str, documents: Sequence[str]) -> LocalRanking:
        """Like `rerank`, with the tokens that were read and the pairs that were cut."""
        if isinstance(documents, str | bytes):
            raise TypeError("documents is one string; give a list of strings")
        opened = self._here()
        scores = np.empty((len(documents), 1), dtype=np.float32)
        tokens = truncated = 0

        def jobs() -> Iterator[Callable[[], None]]:
            nonlocal tokens, truncated
            for start in range(0, len(documents), _WINDOW):
                window = documents[start : start + _WINDOW]
                ids, types, cut = opened.tokeniser.pairs(query, window, first=start)
                tokens += sum(map(len, ids))
                truncated += cut
                rows = scores[start : start + len(window)]
                for batch in plan([len(item) for item in ids], opened.loaded.tokens):
                    yield partial(_run, opened.loaded, (ids, types), batch, rows, start)

        opened.workers.each(jobs())
        return LocalRanking(scores[:, 0], tokens, truncated)

    def close(self) -> None:
        """Stop the workers; later calls raise `RuntimeError`."""
        self._opened.workers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"LocalReranker({self.model!r}, device={self.device!r})"

    def _here(self) -> _Opened:
        """What was opened, opened again in a forked child where it may be in an unknown state."""
        if self._opened.pid != os.getpid():
            self._opened = self._open("cpu")
        return self._opened


def _open(
    checkpoint: Checkpoint, scoring: Scoring, graph: Path, threads: int | None, device: Device
) -> _Opened:
    tokeniser = Tokeniser(checkpoint, typed=scoring.typed)
    tokeniser.require_room()
    if read_target(device).kind not in {"auto", "cpu"}:
        raise DeviceUnavailable(
            "rerankers run on the processor: a card's inputs do not tell a query from its document",
            'use device="cpu"',
        )
    loaded = load(graph, "cpu", threads, pad=checkpoint.pad)
    return _Opened(os.getpid(), tokeniser, loaded, Workers(loaded.callers))


def _run(
    loaded: Loaded,
    pairs: tuple[list[Tokens], list[Tokens]],
    batch: list[int],
    rows: NDArray[np.float32],
    start: int,
) -> None:
    ids, types = pairs
    session = loaded.session
    assert isinstance(session, Session)
    try:
        rows[batch] = session.run([ids[one] for one in batch], [types[one] for one in batch])
    except NotNumbers as error:
        places = sorted(start + batch[row] for row in error.rows)
        raise NotNumbers(error.reason, places) from error
