"""How much an engine takes at once."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    What one request may hold; None where the engine sets no bound, or tells none.

    An engine's own `limits` are its defaults: a deployment may have been started with others.
    """

    max_inputs: int | None = None
    """Texts, or documents to rerank."""
    max_bytes: int | None = None
    """Of the request's body."""
    max_characters: int | None = None
    """Of one text."""
    max_tokens: int | None = None
    """Of one text, special tokens included. More is cut or refused, as the engine was started."""
