"""Embeds texts in this process: the runtime's public class."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from embedway_local.batch import plan
from embedway_local.catalogue import DEFAULT_MODEL
from embedway_local.file import digest
from embedway_local.graph.cache import built, weights_digest
from embedway_local.home import embedway_home
from embedway_local.pooling import Pooling
from embedway_local.provider import Device, load
from embedway_local.session import Session
from embedway_local.source.find import find
from embedway_local.space import VectorSpace
from embedway_local.store import Store
from embedway_local.tokenise import Tokeniser

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["InputType", "LocalEmbedder", "LocalEmbedding"]

InputType: TypeAlias = Literal["query", "document"]

# Texts tokenised at a time: bounds memory, and is enough to sort by length within.
_WINDOW = 2048


@dataclass(frozen=True, slots=True)
class LocalEmbedding:
    """Vectors, and what they cost."""

    vectors: NDArray[np.float32]
    """(n, d), row i of text i, of unit length."""
    tokens: int
    """Tokens that were read, special tokens included, after cutting at the maximum."""
    truncated: int
    """How many texts were cut."""


class LocalEmbedder:
    """
    A text-embedding model in this process, on ONNX Runtime.

    `model` is a folder or a name on the Hugging Face hub; it is downloaded once, on first use,
    into `EMBEDWAY_HOME`. May be used from many threads at once: they share one pool of as many
    workers as there are cores.

        embedder = LocalEmbedder("sentence-transformers/all-MiniLM-L6-v2")
        embedder.embed(["a text", "another"])  # float32 (2, 384)

    `device`: "auto" takes a CUDA card that works, else the processor; "cuda" insists.
    `threads`: cores to use, by default all that this process may use.
    `max_tokens`, `pooling`: replace what the model's folder says.
    `prompts`: texts put before a "query" or a "document"; by default the model's own.
    `home`: the model store; by default `EMBEDWAY_HOME`.

    Raises `ModelNotFound`, `ModelCorrupt`, `ModelUnsupported` or `DeviceUnavailable`.
    """

    def __init__(
        self,
        model: str | Path = DEFAULT_MODEL,
        *,
        device: Device = "auto",
        threads: int | None = None,
        max_tokens: int | None = None,
        pooling: Pooling | None = None,
        prompts: Mapping[str, str] | None = None,
        home: Path | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"threads={threads}: at least 1 is needed")
        home = home or embedway_home()
        checkpoint = find(model, Store(home), pooling=pooling, max_tokens=max_tokens)
        self.model = str(model)
        self._prompts = _prompts(checkpoint.prompts if prompts is None else prompts)
        self._tokeniser = Tokeniser(checkpoint)
        loaded = load(built(checkpoint, home), device, threads)
        self._session = Session(loaded.session)
        self._callers = loaded.callers
        self._budget = loaded.tokens
        self._pool: ThreadPoolExecutor | None = None
        self._pid = 0
        self._lock = threading.Lock()
        self._closed = False
        self.device = loaded.device
        self.max_tokens = checkpoint.max_tokens
        self.dimensions = self._session.dimensions
        self.space = VectorSpace(
            weights=weights_digest(checkpoint, home),
            tokenizer=digest(checkpoint.tokenizer),
            dimensions=self.dimensions,
            pooling=checkpoint.pooling,
            max_tokens=checkpoint.max_tokens,
            lowercase=checkpoint.lowercase,
            query_prompt=self._prompts["query"],
            document_prompt=self._prompts["document"],
        )

    def embed(
        self, texts: Sequence[str], *, input_type: InputType = "document"
    ) -> NDArray[np.float32]:
        """
        One vector a text: float32 (n, dimensions), row i of text i, of unit length.

        Texts longer than `max_tokens` are cut there. Raises `ValueError` for a text with lone
        surrogates, `TypeError` for anything but a sequence of strings.
        """
        return self.encode(texts, input_type=input_type).vectors

    def encode(
        self, texts: Sequence[str], *, input_type: InputType | None = "document"
    ) -> LocalEmbedding:
        """
        Like `embed`, with the tokens that were read and the texts that were cut.

        With `input_type=None` no prompt is put before the texts.
        """
        if isinstance(texts, str):
            raise TypeError("texts is one string; give a list of strings")
        prompt = self._prompts[input_type] if input_type else ""
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        pool = self._workers()
        running: deque[Future[None]] = deque()
        tokens = truncated = 0
        try:
            for start in range(0, len(texts), _WINDOW):
                window = texts[start : start + _WINDOW]
                ids, cut = self._tokeniser.encode(
                    [prompt + text for text in window] if prompt else window
                )
                tokens += sum(map(len, ids))
                truncated += cut
                # While this window's batches run, the next one is tokenised; no more than that.
                _finish(running)
                rows = vectors[start : start + len(window)]
                for batch in plan([len(item) for item in ids], self._budget):
                    running.append(pool.submit(self._run, ids, batch, rows))
            _finish(running)
        finally:
            for future in running:
                future.cancel()
        return LocalEmbedding(vectors, tokens, truncated)

    def close(self) -> None:
        """Stop the workers; later calls raise `RuntimeError`."""
        with self._lock:
            self._closed = True
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> LocalEmbedder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"LocalEmbedder({self.model!r}, device={self.device!r})"

    def _run(self, ids: list[list[int]], batch: list[int], rows: NDArray[np.float32]) -> None:
        rows[batch] = self._session.run([ids[index] for index in batch])

    def _workers(self) -> ThreadPoolExecutor:
        """The pool, made on first use, and again in a forked child, which has no threads."""
        with self._lock:
            if self._closed:
                raise RuntimeError("this LocalEmbedder is closed")
            if self._pool is None or self._pid != os.getpid():
                self._pool = ThreadPoolExecutor(self._callers, "embedway-local")
                self._pid = os.getpid()
            return self._pool


def _finish(running: deque[Future[None]]) -> None:
    while running:
        running.popleft().result()


def _prompts(prompts: Mapping[str, str]) -> dict[InputType, str]:
    """The prompt of each input type, under the names that models use for them."""

    def first(*names: str) -> str:
        return next((prompts[name] for name in names if name in prompts), "")

    return {
        "query": first("query", "search_query"),
        "document": first("document", "passage", "search_document"),
    }
