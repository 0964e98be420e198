"""What a call to the client answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

import numpy as np

from embedway_client.space import mixed
from embedway_upstream import BadReply, Usage

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EmbeddingResult", "join", "nothing"]


@dataclass(frozen=True, slots=True)
class EmbeddingResult:
    """Vectors, and what is known of them."""

    vectors: NDArray[np.float32]
    """(n, d), row i belongs to text i."""
    usage: Usage
    vector_space: str | None
    """The fingerprint of their space; None where the server does not tell."""
    fallback: bool
    """Whether a fallback answered for at least one text: this process, or the gateway's."""


def nothing(dimensions: int | None, vector_space: str | None) -> EmbeddingResult:
    """The answer for no texts: (0, dimensions), or (0, 0) where they were not asked for."""
    vectors = np.empty((0, dimensions or 0), dtype=np.float32)
    return EmbeddingResult(vectors, Usage(0, 0), vector_space, fallback=False)


def join(parts: Sequence[EmbeddingResult]) -> EmbeddingResult:
    """One result from at least one part, in their order, of one space; usage is summed."""
    if len(parts) == 1:
        return parts[0]
    if len({part.vectors.shape[1] for part in parts}) > 1:
        raise BadReply("the server gave vectors of different sizes for one call")
    spaces = [part.vector_space for part in parts if part.vector_space]
    if other := next((space for space in spaces if space != spaces[0]), None):
        raise mixed(spaces[0], other)
    return EmbeddingResult(
        vectors=np.concatenate([part.vectors for part in parts]),
        usage=reduce(add, (part.usage for part in parts)),
        vector_space=spaces[0] if spaces else None,
        fallback=any(part.fallback for part in parts),
    )
