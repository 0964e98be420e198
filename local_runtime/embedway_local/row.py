"""Refuses what a device takes or makes without a word: tokens of no row, rows of no numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from embedway_local.error import ModelCorrupt, NotNumbers

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["counted_from", "require_numbers", "require_rows"]


def require_rows(ids: NDArray[np.generic], rows: int | None) -> None:
    """
    Raise `ModelCorrupt` when one of `ids` is no row of a table of `rows`; None asks nothing.

    On the processor ONNX Runtime refuses it. On a card it reads zeros instead, and the vector is
    wrong without a word.
    """
    highest = 0 if rows is None else int(ids.max(initial=0))
    if rows is not None and highest >= rows:
        raise ModelCorrupt(
            f"there is no token {highest}: the model's table has {rows} rows; take tokenizer.json, "
            "config.json and the weights from one revision of the model"
        )


def require_numbers(vectors: NDArray[np.float32], reason: str) -> None:
    """Raise `NotNumbers`, for `reason`, when a row holds what is not finite."""
    if not np.isfinite(vectors).all():
        rows: list[int] = np.flatnonzero(~np.isfinite(vectors).all(axis=1)).tolist()
        raise NotNumbers(reason, rows)


@contextmanager
def counted_from(first: int) -> Iterator[None]:
    """Around what computes texts of which the first has this number: `NotNumbers` tells so."""
    try:
        yield
    except NotNumbers as error:
        raise NotNumbers(error.reason, (first + row for row in error.rows)) from error
