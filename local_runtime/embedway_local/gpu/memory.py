"""Host memory that a card copies from and to without the processor."""

from __future__ import annotations

import ctypes
import functools
import sys
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Allocate", "pageable", "pinned", "select"]

Allocate = Callable[[int], "NDArray[np.uint8]"]


def pageable(size: int) -> NDArray[np.uint8]:
    """Ordinary memory."""
    return np.zeros(size, dtype=np.uint8)


def pinned(size: int, *, card: int = 0) -> NDArray[np.uint8]:
    """
    Memory that stays in place, so that the card reads it itself; ordinary where there is none.

    To be called once CUDA works on `card`. It is freed with the array.
    """
    runtime = _runtime()
    if runtime is None:
        return pageable(size)
    place = ctypes.c_void_p()
    # Else it would start CUDA on the first card too, which takes hundreds of megabytes there.
    if runtime.cudaSetDevice(card):
        return pageable(size)
    # 1: cudaHostAllocPortable, for every card.
    if runtime.cudaHostAlloc(ctypes.byref(place), ctypes.c_size_t(size), 1) or not place.value:
        return pageable(size)
    whole = (ctypes.c_uint8 * size).from_address(place.value)
    array: NDArray[np.uint8] = np.frombuffer(memoryview(whole), dtype=np.uint8)
    # Of the block, not the array: views of the array keep only the block alive.
    weakref.finalize(whole, runtime.cudaFreeHost, ctypes.c_void_p(place.value)).atexit = False
    return array


def select(card: int) -> None:
    """
    Have the calling thread's copies go to `card`; does nothing where CUDA is not here.

    ONNX Runtime does so for a run, but not for the copies around it, which would start CUDA on the
    first card too, and fail where that one is full. Raises `RuntimeError` where CUDA refuses.
    """
    runtime = _runtime()
    code = 0 if runtime is None else runtime.cudaSetDevice(card)
    if code:
        raise RuntimeError(f"cudaSetDevice({card}) answered {code}")


def _runtime() -> ctypes.CDLL | None:
    """CUDA's runtime, which ONNX Runtime's provider has loaded before."""
    names = (
        ("cudart64_13.dll", "cudart64_12.dll")
        if sys.platform == "win32"
        else ("libcudart.so.13", "libcudart.so.12")
    )
    for name in names:
        try:
            return _library(name)
        except OSError:
            continue
    return None


@functools.cache
def _library(name: str) -> ctypes.CDLL:
    """Kept once it is there: it is asked for with each call."""
    return ctypes.CDLL(name)
