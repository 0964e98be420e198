"""What was found of one upstream, or of what stands beside them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Finding"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """
    One upstream of a model; or, without a model, a place where discovery looks, the file of keys,
    one of its keys, or a Redis server.

    What an upstream told of itself is None or empty where it told nothing.
    """

    model: str
    upstream: str
    engine: str = ""
    platform: str = ""
    priority: int = 0
    reachable: bool | None = None
    """Whether anything answered there; None when nothing was sent."""
    version: str | None = None
    models: tuple[str, ...] = ()
    """The names under which it serves."""
    capabilities: tuple[str, ...] = ()
    max_inputs: int | None = None
    max_tokens: int | None = None
    truncates: bool | None = None
    """Whether a text beyond `max_tokens` is cut; otherwise it is refused."""
    dimensions: int | None = None
    milliseconds: float | None = None
    """Of one call with one canary text, the mean of eight."""
    rerank_milliseconds: float | None = None
    """Of one document, in a call with four."""
    cosine: float | None = None
    """The smallest with the reference's vectors; None for the reference itself."""
    notes: tuple[str, ...] = ()
    """What is worth knowing, though it serves."""
    problem: str = ""
    """Why it does not, or soon will not, and what to do."""
