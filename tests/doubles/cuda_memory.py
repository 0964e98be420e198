"""CUDA's own runtime, as far as memory goes: which card a thread's copies go through."""

from __future__ import annotations

import threading

import numpy as np

__all__ = ["CudaLibrary", "OrtValue"]


class CudaLibrary:
    """libcudart: each thread has a current card, the first one until another is chosen."""

    def __init__(self) -> None:
        self._threads = threading.local()
        self._blocks: list[np.ndarray] = []

    @property
    def current(self) -> int:
        return getattr(self._threads, "card", 0)

    def cudaSetDevice(self, card: int) -> int:  # noqa: N802 - CUDA's name
        self._threads.card = card
        return 0

    def cudaHostAlloc(self, place, size, flags: int) -> int:  # noqa: N802 - the same
        self._blocks.append(np.zeros(size.value, np.uint8))
        place._obj.value = self._blocks[-1].ctypes.data
        return 0

    def cudaFreeHost(self, place) -> int:  # noqa: N802 - the same
        return 0


class OrtValue:
    """A tensor on the card; a copy to or from it goes through the thread's current card."""

    def __init__(self, array: np.ndarray, card: int, library: CudaLibrary) -> None:
        self.array, self._card, self._library = array, card, library

    def _require_current(self) -> None:
        # It would be done all the same, with a context of some hundred MB on the other card.
        if self._library.current != self._card:
            raise RuntimeError(f"CUDA failure 2: out of memory ; GPU={self._library.current}")

    def data_ptr(self) -> int:
        return self.array.ctypes.data

    def update_inplace(self, data: np.ndarray) -> None:
        assert data.size == self.array.size
        self._require_current()
        self.array[...] = data

    def numpy(self) -> np.ndarray:
        self._require_current()
        return self.array
