"""A local model that is quick, and does as it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from embedway_local import LocalEmbedding, VectorSpace

__all__ = ["SPACE", "FakeEmbedder"]

SPACE = VectorSpace(
    weights="w",
    tokenizer="t",
    dimensions=4,
    pooling="mean",
    max_tokens=8,
    lowercase=True,
    query_prompt="",
    document_prompt="",
)


class FakeEmbedder:
    """In the place of a `LocalEmbedder`: a text's vector tells its length."""

    model, device, dimensions, max_tokens = "fake", "cpu", 4, 8
    agreement: None = None

    def __init__(self, *, weights: str = "w", failure: Exception | None = None) -> None:
        self.space = replace(SPACE, weights=weights)
        self.failure = failure
        self.calls: list[int] = []
        self.begun = threading.Event()
        self.release = threading.Event()
        self.release.set()
        self.closed = threading.Event()

    def encode(self, texts: Sequence[str], *, input_type: None) -> LocalEmbedding:
        """After `release`; fails where it is to."""
        assert input_type is None
        self.calls.append(len(texts))
        self.begun.set()
        assert self.release.wait(10)
        if self.failure is not None:
            raise self.failure
        vectors = np.ones((len(texts), 4), np.float32)
        vectors[:, 0] = [len(text) for text in texts]
        return LocalEmbedding(vectors, sum(map(len, texts)), 0)

    def close(self) -> None:
        """As the real one."""
        self.closed.set()


Open = Callable[[], FakeEmbedder]
