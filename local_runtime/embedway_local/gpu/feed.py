"""Makes what a graph asks for out of token ids, whichever inputs it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from embedway_local.error import ModelUnsupported
from embedway_local.row import require_rows

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["Feed", "feed_of"]

_Ints: TypeAlias = NDArray[np.int32]
Feed: TypeAlias = Callable[[Sequence[Sequence[int]]], dict[str, NDArray[np.generic]]]

_TYPES: Mapping[str, type[np.generic]] = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    # Of masks, in some exports.
    "tensor(bool)": np.bool_,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}


def feed_of(
    session: onnxruntime.InferenceSession,
    *,
    pad: int,
    length: int | None = None,
    rows: int | None = None,
) -> Feed:
    """
    What turns lists of token ids into the session's inputs.

    `length` fills every row up to so many tokens, where shapes must not change; by default the
    longest row decides. `rows` is how many tokens the model's table holds: the feed raises
    `ModelCorrupt` for one beyond it. Raises `ModelUnsupported` for an input that we do not know.
    """
    wanted = {item.name: item.type for item in session.get_inputs()}
    make = _packed if "cumulative" in wanted else _padded if "inside" in wanted else _plain
    known = make([[pad]], pad, None)
    for name, kind in wanted.items():
        if name not in known or kind not in _TYPES:
            raise ModelUnsupported(f"the graph wants {name} ({kind}), which we cannot give")

    def feed(ids: Sequence[Sequence[int]]) -> dict[str, NDArray[np.generic]]:
        made = make(ids, pad, length)
        require_rows(made["ids"], rows)
        return {
            name: np.ascontiguousarray(made[name], dtype=_TYPES[kind])
            for name, kind in wanted.items()
        }

    return feed


def _grid(
    ids: Sequence[Sequence[int]], pad: int, length: int | None
) -> tuple[_Ints, NDArray[np.bool_], _Ints]:
    """The padded tokens, which of them are real, and how many each text has."""
    lengths = np.array([len(item) for item in ids], dtype=np.int32)
    grid = np.full((len(ids), length or max(1, int(lengths.max()))), pad, dtype=np.int32)
    for row, item in enumerate(ids):
        grid[row, : len(item)] = item
    inside = np.arange(grid.shape[1]) < lengths[:, None]
    return grid, inside, lengths


def _plain(
    ids: Sequence[Sequence[int]], pad: int, length: int | None
) -> dict[str, NDArray[np.generic]]:
    """Ours name ids and lengths; exports of transformers the others."""
    grid, inside, lengths = _grid(ids, pad, length)
    return {
        "ids": grid,
        "lengths": lengths,
        "input_ids": grid,
        "attention_mask": inside,
        "position_ids": np.broadcast_to(np.arange(grid.shape[1]), grid.shape),
        "token_type_ids": np.zeros_like(grid),
    }


def _padded(
    ids: Sequence[Sequence[int]], pad: int, length: int | None
) -> dict[str, NDArray[np.generic]]:
    grid, inside, lengths = _grid(ids, pad, length)
    return {
        "ids": grid,
        "positions": np.broadcast_to(np.arange(grid.shape[1], dtype=np.int32), grid.shape),
        # Attention over no token at all is not a number; pooling then leaves that token out.
        "lengths": np.maximum(lengths, 1),
        "inside": inside,
    }


def _packed(
    ids: Sequence[Sequence[int]], pad: int, length: int | None
) -> dict[str, NDArray[np.generic]]:
    """
    The tokens without padding; `offsets` are their places in the padded grid, then the paddings'.

    https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
    """
    grid, inside, lengths = _grid(ids, pad, length)
    read = np.maximum(lengths, 1)
    taken = np.arange(grid.shape[1]) < read[:, None]
    places = np.arange(grid.size, dtype=np.int32).reshape(grid.shape)
    offsets = np.concatenate([places[taken], places[~taken]]).reshape(grid.shape)
    return {
        "ids": grid[taken],
        "positions": (places % grid.shape[1])[taken],
        "offsets": offsets,
        "cumulative": np.concatenate([np.zeros(1, np.int32), np.cumsum(read, dtype=np.int32)]),
        "inside": inside,
    }
