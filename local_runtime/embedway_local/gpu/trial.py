"""Holds a new way to compute against one that is trusted, before it may serve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from embedway_local.error import LocalError

if TYPE_CHECKING:
    from embedway_local.gpu.compute import Compute

__all__ = ["EXACT", "TEXTS", "CardPrecision", "Untrusted", "hold"]

CardPrecision: TypeAlias = Literal["fp32", "fp16"]

# On both sides of the lengths that kernels and captures care for: no word at all, one, a question,
# sentences, and one longer than any model reads, which is cut where the model cuts.
TEXTS = (
    "",
    "cat",
    "Which one is the capital of France?",
    "The quick brown fox jumps over the lazy dog, and then sleeps in the sun until noon.",
    "Die Würde des Menschen ist unantastbar. 東京は日本の首都である。",
    " ".join(f"Line {number}: a river runs through the valley." for number in range(12)),
    " ".join(f"{number} bottles of milk stand in the cellar." for number in range(400)),
)

# What the runtime promises in single precision, for every number of every vector.
EXACT = 1e-5
# Half precision reached 0.999998 on all-MiniLM-L6-v2; a kernel that is wrong is far below.
_COSINE = 0.9999


class Untrusted(LocalError):
    """It computes something else."""


def hold(
    candidate: Compute, trusted: Compute, texts: Sequence[Sequence[int]], precision: CardPrecision
) -> None:
    """
    Compute `texts`, lists of token ids, in both ways, together and each alone.

    Raises `Untrusted` when the vectors differ by more than the precision allows, and the errors
    of `run`.
    """
    whole = [list(ids) for ids in texts]
    # Each alone, so that nothing of it depends on padding.
    expected = np.concatenate([trusted.run([ids]) for ids in whole])
    _compare(candidate.run(whole), expected, precision)
    for row, ids in enumerate(whole):
        _compare(candidate.run([ids]), expected[row : row + 1], precision)


def _compare(
    found: np.typing.NDArray[np.float32],
    expected: np.typing.NDArray[np.float32],
    precision: CardPrecision,
) -> None:
    if found.shape != expected.shape or not np.isfinite(found).all():
        raise Untrusted("its vectors are no numbers")
    if precision == "fp32":
        difference = float(np.abs(found - expected).max())
        if difference > EXACT:
            raise Untrusted(f"its vectors differ by {difference:.1e}")
        return
    # Zero vectors, of texts without a token, agree with each other and nothing else.
    agreement = (found * expected).sum(1) + (~expected.any(1) & ~found.any(1))
    # In both directions: more than one is of a vector that is too long.
    worst = float(agreement[np.abs(agreement - 1).argmax()])
    if abs(worst - 1) > 1 - _COSINE:
        raise Untrusted(f"its vectors have a cosine of {worst:.5f}")
