"""Runs a graph on a card with buffers that stay: one copy there, one back, nothing allocated."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING

import numpy as np

from embedway_local.error import LocalError, ModelUnsupported
from embedway_local.gpu.memory import Allocate, pageable, select
from embedway_local.gpu.turn import CAPTURES

if TYPE_CHECKING:
    import onnxruntime
    from numpy.typing import NDArray

    from embedway_local.gpu.feed import Feed

__all__ = ["CALLERS", "SHRINK", "Bound", "Slot", "whole"]

# Calls under way on one card: while one computes, the other one copies.
CALLERS = 2
# Calls between two in which the arena gives back what no tensor is in. A call that gives it back
# waits for the card, and the next ones ask for the memory again.
SHRINK = 256
# Where CUDA's own allocator begins a block; kernels read from there in the widest steps.
_ALIGN = 256


class Slot:
    """Buffers of one call: all inputs in one block on the host and one on the card, one output."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        *,
        kind: str,
        card: int,
        allocate: Allocate,
    ) -> None:
        self.binding = session.io_binding()
        self._kind = kind
        self._card = card
        self._allocate = allocate
        self._here = allocate(0)
        self._there: onnxruntime.OrtValue | None = None
        self._output = allocate(0)

    def put(self, feeds: Mapping[str, NDArray[np.generic]]) -> None:
        """Copy the inputs to the card, and bind them."""
        starts = list(
            itertools.accumulate((whole(item.nbytes) for item in feeds.values()), initial=0)
        )
        if self._kind == "cuda":
            select(self._card)
        there = self._room(starts[-1])
        for start, item in zip(starts, feeds.values(), strict=False):
            self._here[start : start + item.nbytes] = item.reshape(-1).view(np.uint8)
        # All of the block, as its size is fixed: 100 kB, which a card takes in 10 µs. It returns
        # when the copy is complete, so that no stream can run ahead of it.
        there.update_inplace(self._here)
        place = there.data_ptr()
        for start, (name, item) in zip(starts, feeds.items(), strict=False):
            self.binding.bind_input(
                name, self._kind, self._card, item.dtype, list(item.shape), place + start
            )

    def take(self, name: str, shape: tuple[int, int]) -> NDArray[np.float32]:
        """Bind the output; the array holds the vectors after the run, until the next one."""
        size = shape[0] * shape[1] * 4
        if self._output.nbytes < size:
            self._output = self._allocate(_doubled(size))
        found = self._output[:size].view(np.float32).reshape(shape)
        self.binding.bind_output(name, "cpu", 0, np.float32, list(shape), found.ctypes.data)
        return found

    def _room(self, size: int) -> onnxruntime.OrtValue:
        import onnxruntime

        if self._there is None or self._here.nbytes < size:
            self._here = self._allocate(_doubled(size))
            self._there = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
                [self._here.nbytes], np.uint8, self._kind, self._card
            )
        return self._there


class Bound:
    """
    A graph on a card. `run` may be called from many threads; as many as `CALLERS` overlap.

    `kind` and `card` name the device to ONNX Runtime; "cpu" runs the same on the processor.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        feed: Feed,
        *,
        kind: str = "cuda",
        card: int = 0,
        allocate: Allocate = pageable,
    ) -> None:
        output = session.get_outputs()[0]
        size = output.shape[-1]
        if not isinstance(size, int):
            raise ModelUnsupported("the graph does not state the size of its vectors")
        self.dimensions: int = size
        self._session = session
        self._feed = feed
        self._output: str = output.name
        self._calls = itertools.count(1)
        self._shrink = f"{'gpu' if kind == 'cuda' else kind}:{card}"
        self._slots: SimpleQueue[Slot] = SimpleQueue()
        for _ in range(CALLERS):
            self._slots.put(Slot(session, kind=kind, card=card, allocate=allocate))

    def run(self, ids: Sequence[Sequence[int]], /) -> NDArray[np.float32]:
        """One vector for each list of token ids: float32 (n, dimensions)."""
        feeds = self._feed(ids)
        with self._slot() as slot, CAPTURES.shared():
            try:
                slot.put(feeds)
                found = slot.take(self._output, (len(ids), self.dimensions))
                self._session.run_with_iobinding(slot.binding, self._options())
            except Exception as error:  # its exceptions share no public class
                raise LocalError(f"the card failed on {len(ids)} texts: {error}") from error
            return found.copy()

    def _options(self) -> onnxruntime.RunOptions | None:
        if next(self._calls) % SHRINK:
            return None
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", self._shrink)
        return options

    @contextmanager
    def _slot(self) -> Iterator[Slot]:
        slot = self._slots.get()
        try:
            yield slot
        finally:
            self._slots.put(slot)


def whole(size: int) -> int:
    """The bytes of a piece, filled up so that the next one begins where a kernel likes it."""
    return -(-size // _ALIGN) * _ALIGN


def _doubled(size: int) -> int:
    """A power of two, so that a block grows a few times and no more."""
    return 1 << max(12, (size - 1).bit_length())
