"""Groups texts of like length, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["plan"]


def plan(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """
    Divide the indices of `lengths` into batches, the longest texts first.

    The rows of a batch times its longest length is at most `budget` tokens, except that a text
    longer than the budget makes a batch of its own. Every index occurs exactly once.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    batches: list[list[int]] = []
    start = 0
    while start < len(order):
        rows = max(1, budget // max(1, lengths[order[start]]))
        batches.append(order[start : start + rows])
        start += rows
    return batches
