"""Groups texts: by number and size as they come, and by like length so that little is padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

__all__ = ["even_share", "plan", "take"]

# Below it a batch costs a tenth more a token, as the weights are read for too few of them.
_FEW = 128


def take(texts: Iterator[str], count: int, characters: int, *, beside: int = 0) -> list[str]:
    """
    The next `count` texts, or fewer: no further one once they have `characters` characters.

    `beside` is how many characters come with each of them. Empty when there are no more texts.
    """
    taken: list[str] = []
    size = 0
    while len(taken) < count and size < characters:
        try:
            text = next(texts)
        except StopIteration:
            break
        taken.append(text)
        # What is no string is refused later, where its place is known.
        size += beside + (len(text) if isinstance(text, str) else 0)
    return taken


def plan(lengths: Sequence[int], budget: int, squares: int | None = None) -> list[list[int]]:
    """
    Divide the indices of `lengths` into batches, the longest texts first.

    The rows of a batch times its longest length is at most `budget` tokens, except that a text
    longer than the budget makes a batch of its own. With `squares` the rows times the square of
    that length is at most so many, too, as attention's memory is. Every index occurs exactly once.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    batches: list[list[int]] = []
    start = 0
    while start < len(order):
        longest = max(1, lengths[order[start]])
        rows = max(1, budget // longest)
        if squares is not None:
            rows = max(1, min(rows, squares // longest**2))
        batches.append(order[start : start + rows])
        start += rows
    return batches


def even_share(total: int, budget: int, callers: int) -> int:
    """
    The budget with which `total` tokens keep all of `callers` busy; at most `budget`.

    A call of few texts would otherwise be one batch on one core while the others are idle.
    """
    return min(budget, max(_FEW, -(-total // callers)))
