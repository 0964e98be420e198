"""Feeds an ONNX Runtime session, whichever inputs its graph names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from embedway_local.error import LocalError, ModelCorrupt, ModelUnsupported
from embedway_local.row import require_numbers, require_rows

if TYPE_CHECKING:
    import onnxruntime
    from numpy.typing import NDArray

__all__ = ["Session"]


class Session:
    """
    A graph in memory; `run` may be called from many threads at once.

    `rows` is how many tokens the model's table holds, where the device would not refuse others.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, *, pad: int = 0, rows: int | None = None
    ) -> None:
        self._session = session
        self._pad = pad
        self._rows = rows
        self._feeds: dict[str, tuple[_Feed, type[np.generic]]] = {}
        for item in session.get_inputs():
            whole = item.type in {"tensor(int32)", "tensor(int64)"} or item.name in _MASKS
            if item.name not in _FEEDS or item.type not in _TYPES or not whole:
                raise ModelUnsupported(
                    f"the graph wants {item.name} ({item.type}), which we cannot give"
                )
            self._feeds[item.name] = _FEEDS[item.name], _TYPES[item.type]
        output = session.get_outputs()[0]
        self._output: str = output.name
        size = output.shape[-1]
        if not isinstance(size, int):
            raise ModelUnsupported("the graph does not state the size of its vectors")
        self.dimensions: int = size

    def run(
        self, ids: Sequence[Sequence[int]], types: Sequence[Sequence[int]] | None = None
    ) -> NDArray[np.float32]:
        """
        One vector for each list of token ids: float32 (n, dimensions).

        `types` are the tokens' types, by default all 0.
        Raises `LocalError` when ONNX Runtime cannot compute them, out of memory for example, and
        for tokens that the model does not have.
        """
        lengths = np.array([len(item) for item in ids], dtype=np.int32)
        # A tokenizer without special tokens makes nothing of an empty text.
        padded = np.full((len(ids), max(1, int(lengths.max()))), self._pad, dtype=np.int32)
        kinds = np.zeros_like(padded)
        for row, item in enumerate(ids):
            padded[row, : len(item)] = item
            if types is not None:
                kinds[row, : len(item)] = types[row]
        require_rows(padded, self._rows)
        feeds = {
            name: feed(padded, lengths, kinds).astype(kind, copy=False)
            for name, (feed, kind) in self._feeds.items()
        }
        try:
            found: object = self._session.run([self._output], feeds)[0]
        except Exception as error:  # its exceptions share no public class
            raise LocalError(f"ONNX Runtime failed on {padded.shape} tokens: {error}") from error
        vectors: NDArray[np.float32] = np.asarray(found, dtype=np.float32)
        if vectors.shape != (len(ids), self.dimensions):
            raise ModelCorrupt(f"the graph made {vectors.shape} of {len(ids)} texts")
        require_numbers(vectors, "the graph made vectors that are not numbers (NaN or infinite)")
        return vectors


_Numbers: TypeAlias = "NDArray[np.int32]"
_Feed: TypeAlias = Callable[[_Numbers, _Numbers, _Numbers], "NDArray[np.generic]"]

# Ours name ids, lengths and types; exports of transformers the others.
_FEEDS: dict[str, _Feed] = {
    "ids": lambda ids, _lengths, _types: ids,
    "lengths": lambda _ids, lengths, _types: lengths,
    "types": lambda _ids, _lengths, types: types,
    "input_ids": lambda ids, _lengths, _types: ids,
    "attention_mask": lambda ids, lengths, _types: np.arange(ids.shape[1]) < lengths[:, None],
    "position_ids": lambda ids, _lengths, _types: np.broadcast_to(
        np.arange(ids.shape[1]), ids.shape
    ),
    "token_type_ids": lambda _ids, _lengths, types: types,
}
_TYPES: dict[str, type[np.generic]] = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    # Of masks, in some exports.
    "tensor(bool)": np.bool_,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}
_MASKS = {"attention_mask"}
