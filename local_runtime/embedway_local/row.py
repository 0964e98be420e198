"""Refuses tokens that a model's table has no row for, where the device would not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedway_local.error import ModelCorrupt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["require_rows"]


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
