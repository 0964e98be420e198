"""How far two sets of vectors of the same texts agree, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Lengths", "cosines", "lengths", "matrix", "neighbours", "unit"]

_NEIGHBOURS = 10
# The matrix of all pairs of more texts would take over 64 MB.
_MOST = 4096

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Lengths:
    """The Euclidean lengths of vectors."""

    mean: float
    least: float
    most: float

    @property
    def is_unit(self) -> bool:
        """As far as half precision leaves it."""
        return abs(self.least - 1) < 0.01 and abs(self.most - 1) < 0.01


def unit(vectors: Vectors) -> Vectors:
    """Scaled to length 1."""
    long = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vectors = (vectors / np.maximum(long, 1e-12)).astype(np.float32)
    return scaled


def cosines(one: Vectors, other: Vectors) -> NDArray[np.float64]:
    """One a text, in double precision: 1 - 1e-9 shall not read as 1."""
    left, right = one.astype(np.float64), other.astype(np.float64)
    long = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    found: NDArray[np.float64] = np.einsum("ij,ij->i", left, right) / np.maximum(long, 1e-12)
    return np.clip(found, -1, 1)


def matrix(vectors: Vectors) -> NDArray[np.float64]:
    """The cosine of each with each."""
    rows = vectors.astype(np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    found: NDArray[np.float64] = np.clip(rows @ rows.T, -1, 1)
    return found


def lengths(vectors: Vectors) -> Lengths:
    """Of at least one vector."""
    found = np.linalg.norm(vectors.astype(np.float64), axis=1)
    return Lengths(float(found.mean()), float(found.min()), float(found.max()))


def neighbours(one: Vectors, other: Vectors) -> tuple[int, float] | None:
    """
    How many nearest texts were looked at, and the share of them that both have, on average; None
    for fewer than five texts, among which all are near. Equal vectors tie; the first is nearer.
    """
    count = min(_NEIGHBOURS, (len(one) - 1) // 2)
    if count < 2:
        return None
    # Every nth where there are too many, so that all parts of a file have a say.
    step = -(-len(one) // _MOST)
    near, far = (_nearest(unit(vectors[::step]), count) for vectors in (one, other))
    shared = [len(np.intersect1d(a, b)) for a, b in zip(near, far, strict=True)]
    return count, float(np.mean(shared)) / count


def _nearest(vectors: Vectors, count: int) -> NDArray[np.intp]:
    # Rounded, so that noise does not decide between texts that are equally near.
    likeness = np.round(vectors @ vectors.T, 5)
    np.fill_diagonal(likeness, -2)
    order: NDArray[np.intp] = np.argsort(-likeness, axis=1, kind="stable")[:, :count]
    return order
