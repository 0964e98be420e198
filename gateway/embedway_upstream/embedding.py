"""What is asked of anything that embeds, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from embedway_upstream.trail import Trail

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["EmbeddingRequest", "EmbeddingResponse", "InputType", "Usage"]

InputType: TypeAlias = Literal["query", "document"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens read, special tokens included."""

    prompt_tokens: int
    total_tokens: int
    estimated: bool = False
    """Whether any part was guessed from the texts because the upstream counts no tokens."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.total_tokens + other.total_tokens,
            self.estimated or other.estimated,
        )


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """Texts to embed with one model."""

    model: str
    inputs: tuple[str, ...]
    input_type: InputType = "document"
    dimensions: int | None = None
    deadline: float | None = None
    """On the monotonic clock, in seconds. A layer may shorten it, never extend it."""
    trail: Trail | None = field(default=None, repr=False, compare=False)
    """Where it was sent so far, once that matters."""
    tenant: str = ""
    """Who shares cached vectors with no other; empty for those who share them all."""


@dataclass(frozen=True, slots=True)
class EmbeddingResponse:
    """Vectors, in the order of the inputs."""

    model: str
    vectors: NDArray[np.float32]
    """(n, d), row i belongs to input i."""
    usage: Usage
    served_by: str
    """The upstream's name, "cache" or "local"."""
    truncated: int = 0
    """How many inputs were cut at the model's maximum, as far as the upstream tells."""
    fallback: bool = False
    """Whether an upstream of a lower priority answered."""
    cached: int = 0
    """How many inputs were answered from the cache."""
    cached_tokens: int = 0
    """What `usage` counts for them."""
