"""Answers short queries with CUDA graphs: a captured run is replayed with one launch."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from embedway_local.error import LocalError, ModelUnsupported
from embedway_local.gpu.bound import whole
from embedway_local.gpu.feed import feed_of
from embedway_local.gpu.memory import Allocate
from embedway_local.gpu.turn import CAPTURES

if TYPE_CHECKING:
    import onnxruntime
    from numpy.typing import NDArray

    from embedway_local.gpu.feed import Feed

__all__ = ["LENGTHS", "Captured"]

# Tokens of a query; a shorter one is padded up to the next. Each is a graph of its own.
LENGTHS = (16, 32, 64, 128)
# ONNX Runtime runs before it captures, and captures with the next run; then it replays.
_WARM = 3


class Captured:
    """
    One text of at most 128 tokens at a time, in shapes and at addresses that never change.

    `session` was made with `enable_cuda_graph`, and nobody else runs it. Everything happens in
    one thread, because ONNX Runtime keeps a capture for each thread. Making it captures; raises
    `LocalError` where that fails.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        *,
        pad: int,
        rows: int | None = None,
        longest: int = LENGTHS[-1],
        kind: str = "cuda",
        card: int = 0,
        allocate: Allocate,
    ) -> None:
        size = session.get_outputs()[0].shape[-1]
        if not isinstance(size, int):
            raise ModelUnsupported("the graph does not state the size of its vectors")
        self.dimensions: int = size
        self._thread = ThreadPoolExecutor(1, "embedway-query")
        self._rows = rows
        self._lengths = tuple(length for length in LENGTHS if length <= longest)
        try:
            self._shapes = self._thread.submit(
                self._capture, session, pad, kind, card, allocate
            ).result()
        except Exception as error:  # its exceptions share no public class
            self.close()
            raise LocalError(f"capture failed: {error}") from error

    def takes(self, ids: Sequence[Sequence[int]]) -> bool:
        """Is it one text that is short enough?"""
        return len(ids) == 1 and bool(self._lengths) and len(ids[0]) <= self._lengths[-1]

    def run(self, ids: Sequence[Sequence[int]], /) -> NDArray[np.float32]:
        """The vectors, one text after the other; each must be short enough."""
        try:
            return self._thread.submit(self._each, ids).result()
        except Exception as error:  # its exceptions share no public class
            raise LocalError(f"the card failed on a query: {error}") from error

    def close(self) -> None:
        """Stop the thread."""
        self._thread.shutdown(wait=False)

    def _capture(
        self,
        session: onnxruntime.InferenceSession,
        pad: int,
        kind: str,
        card: int,
        allocate: Allocate,
    ) -> dict[int, _Shape]:
        shapes = {}
        for number, length in enumerate(self._lengths, 1):
            feed = feed_of(session, pad=pad, length=length, rows=self._rows)
            # For each alone, so that others wait for one of them, and not for all.
            with CAPTURES.alone():
                shape = _Shape(
                    session, feed, number=number, kind=kind, card=card, allocate=allocate
                )
                for _ in range(_WARM):
                    shape.run([pad] * length)
            shapes[length] = shape
        return shapes

    def _each(self, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        rows = []
        for item in ids:
            length = next((length for length in self._lengths if length >= len(item)), None)
            if length is None:
                raise ValueError(f"{len(item)} tokens are too many")
            with CAPTURES.shared():
                rows.append(self._shapes[length].run(item))
        return np.concatenate(rows)


class _Shape:
    """One captured graph with its inputs and its output, all of which stay where they are."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        feed: Feed,
        *,
        number: int,
        kind: str,
        card: int,
        allocate: Allocate,
    ) -> None:
        import onnxruntime

        value = onnxruntime.OrtValue.ortvalue_from_shape_and_type
        self._session = session
        self._feed = feed
        self._binding = session.io_binding()
        self._options = onnxruntime.RunOptions()
        # 0 is ONNX Runtime's own.
        self._options.add_run_config_entry("gpu_graph_id", str(number))
        items = feed([[0]])
        ends = list(itertools.accumulate(whole(item.nbytes) for item in items.values()))
        self._here = allocate(ends[-1])
        self._there = value([ends[-1]], np.uint8, kind, card)
        self._views: dict[str, NDArray[np.generic]] = {}
        for end, (name, item) in zip(ends, items.items(), strict=True):
            start = end - whole(item.nbytes)
            block = self._here[start : start + item.nbytes]
            self._views[name] = block.view(item.dtype).reshape(item.shape)
            place = self._there.data_ptr() + start
            self._binding.bind_input(name, kind, card, item.dtype, list(item.shape), place)
        output = session.get_outputs()[0]
        self._output = value([1, int(output.shape[-1])], np.float32, kind, card)
        self._binding.bind_ortvalue_output(output.name, self._output)

    def run(self, ids: Sequence[int]) -> NDArray[np.float32]:
        # Copies go to the card that this thread chose when it allocated `_here`.
        for name, item in self._feed([ids]).items():
            self._views[name][...] = item
        self._there.update_inplace(self._here)
        self._session.run_with_iobinding(self._binding, self._options)
        # A copy, because on the processor `numpy` shows the tensor itself.
        return np.array(self._output.numpy(), dtype=np.float32)
