"""What is asked of anything that reranks, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from embedway_upstream.embedding import Usage
from embedway_upstream.trail import Trail

__all__ = ["RerankRequest", "RerankResponse", "RerankResult"]


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """Documents to order by their relevance to a query."""

    model: str
    query: str
    documents: tuple[str, ...]
    top_n: int | None = None
    """How many results to give; None gives all."""
    deadline: float | None = None
    """On the monotonic clock, in seconds."""
    trail: Trail | None = field(default=None, repr=False, compare=False)
    """Where it was sent so far, once that matters."""


@dataclass(frozen=True, slots=True)
class RerankResult:
    """One document's place: its number in the request, and its score; higher is more relevant."""

    index: int
    relevance_score: float


@dataclass(frozen=True, slots=True)
class RerankResponse:
    """Results, the most relevant first."""

    model: str
    results: tuple[RerankResult, ...]
    usage: Usage
    served_by: str
    fallback: bool = False
    """Whether an upstream of a lower priority answered."""
