"""Feeds an ONNX Runtime session, whichever inputs its graph names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from embedway_local.error import ModelUnsupported

if TYPE_CHECKING:
    import onnxruntime
    from numpy.typing import NDArray

__all__ = ["Session"]


class Session:
    """A graph in memory; `run` may be called from many threads at once."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._inputs = {item.name: _FEEDS.get(item.name) for item in session.get_inputs()}
        unknown = [name for name, feed in self._inputs.items() if feed is None]
        if unknown:
            raise ModelUnsupported(f"the graph wants {', '.join(unknown)}, which we cannot give")
        size = session.get_outputs()[0].shape[-1]
        if not isinstance(size, int):
            raise ModelUnsupported("the graph does not state the size of its vectors")
        self.dimensions: int = size

    def run(self, ids: list[list[int]]) -> NDArray[np.float32]:
        """One vector for each list of token ids: float32 (n, dimensions)."""
        lengths = np.array([len(item) for item in ids], dtype=np.int32)
        padded = np.zeros((len(ids), int(lengths.max())), dtype=np.int32)
        for row, item in enumerate(ids):
            padded[row, : len(item)] = item
        feeds = {name: feed(padded, lengths) for name, feed in self._inputs.items() if feed}
        vectors: NDArray[np.float32] = self._session.run(["embedding"], feeds)[0]
        return vectors


def _mask(ids: NDArray[np.int32], lengths: NDArray[np.int32]) -> NDArray[np.int64]:
    return (np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64)


# Ours name ids and lengths; exports of transformers the other three.
_FEEDS: dict[str, Callable[[NDArray[np.int32], NDArray[np.int32]], NDArray[np.generic]]] = {
    "ids": lambda ids, _: ids,
    "lengths": lambda _, lengths: lengths,
    "input_ids": lambda ids, _: ids.astype(np.int64),
    "attention_mask": _mask,
    "token_type_ids": lambda ids, _: np.zeros(ids.shape, dtype=np.int64),
}
