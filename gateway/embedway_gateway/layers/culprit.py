"""Finds the texts that a call was refused for, so that only their callers get the error."""

from __future__ import annotations

from embedway_gateway.layers.flight import Caller, Text
from embedway_gateway.layers.retry import Budget
from embedway_upstream import EmbeddingError, InvalidRequest, UpstreamDefect
from embedway_upstream.platforms.error import AmbiguousFailure

__all__ = ["SUSPICIOUS", "suspects"]

SUSPICIOUS = (InvalidRequest, UpstreamDefect, AmbiguousFailure)
"""What one text may bring upon all that travel with it."""


def suspects(texts: list[Text], error: EmbeddingError, budget: Budget) -> list[list[Text]]:
    """
    The texts in parts that are to be tried apart; none, when the error is that of all callers.

    Halves, while the budget of retries pays for both. Then those of each caller: as many calls as
    if they had never travelled together. But not after a failure that may be an outage.
    """
    groups: dict[frozenset[Caller], list[Text]] = {}
    for text in texts:
        groups.setdefault(text.callers, []).append(text)
    if len(groups) == 1:
        return []
    if budget.take() and budget.take():
        half = len(texts) // 2
        return [texts[:half], texts[half:]]
    return [] if isinstance(error, AmbiguousFailure) else list(groups.values())
