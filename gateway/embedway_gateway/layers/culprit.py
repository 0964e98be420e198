"""Finds the texts that a call was refused for, so that only their callers get the error."""

from __future__ import annotations

from embedway_gateway.layers.flight import Caller, Text
from embedway_gateway.layers.retry import Budget
from embedway_upstream import BadVector, EmbeddingError, InvalidRequest, UpstreamDefect
from embedway_upstream.platforms.error import AmbiguousFailure

__all__ = ["SUSPICIOUS", "suspects"]

SUSPICIOUS = (InvalidRequest, UpstreamDefect, AmbiguousFailure, BadVector)
"""What one text may bring upon all that travel with it."""


def suspects(texts: list[Text], error: EmbeddingError, budget: Budget) -> list[list[Text]]:
    """
    The texts in parts that are to be tried apart; none, when the error is that of all callers.

    Halves, while the budget of retries pays for both. Then those of each caller: as many calls as
    if they had never travelled together. But not after a failure that may be an outage.

    Of a reply that lacks vectors it is known whose they are: these callers each go alone, and the
    others together. What came for them is not given to them: where some rows were not written, or
    are of overflows, who says that the row beside them is right, and at its place?
    """
    groups: dict[frozenset[Caller], list[Text]] = {}
    for text in texts:
        groups.setdefault(text.callers, []).append(text)
    if len(groups) == 1:
        return []
    if isinstance(error, BadVector):
        concerned = {texts[row].callers for row in error.rows}
        others = [text for text in texts if text.callers not in concerned]
        if others and budget.take():
            return [others, *(groups[callers] for callers in groups if callers in concerned)]
        return list(groups.values())
    if budget.take() and budget.take():
        half = len(texts) // 2
        return [texts[:half], texts[half:]]
    return [] if isinstance(error, AmbiguousFailure) else list(groups.values())
