"""Token ids of a small model, and when two sets of vectors are the same."""

from __future__ import annotations

import numpy as np

__all__ = ["IDS", "near"]

IDS = [[1, 2], [1, 5, 6, 7, 2], [1, *range(4, 20), 2], [1, 9, 2]]


def near(found: np.ndarray, expected: np.ndarray, atol: float = 1e-6) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)
