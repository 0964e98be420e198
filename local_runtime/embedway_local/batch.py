"""Groups texts of like length, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["even_share", "plan"]

# Below it a batch costs a tenth more a token, as the weights are read for too few of them.
_FEW = 128


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


def even_share(total: int, budget: int, callers: int) -> int:
    """
    The budget with which `total` tokens keep all of `callers` busy; at most `budget`.

    A call of few texts would otherwise be one batch on one core while the others are idle.
    """
    return min(budget, max(_FEW, -(-total // callers)))
