"""Which of CUDA's libraries are here: as packages, and as files that can be loaded."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version

from embedway_local.gpu.wheel import Wheel

__all__ = ["missing_libraries", "packages"]

# What the CUDA provider of the wheels on PyPI names (`readelf -d`), by CUDA's major version: 12 as
# in onnxruntime-gpu 1.26.0, 13 as in 1.31.1.
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "12": (
        "libcublasLt.so.12",
        "libcublas.so.12",
        "libcurand.so.10",
        "libcufft.so.11",
        "libcudart.so.12",
        "libcudnn.so.9",
    ),
    "13": ("libcublasLt.so.13", "libcublas.so.13", "libcurand.so.10", "libcudart.so.13"),
}
_PACKAGES = (
    "nvidia-cublas",
    "nvidia-cuda-runtime",
    "nvidia-curand",
    "nvidia-cudnn-cu13",
    "nvidia-cublas-cu12",
    "nvidia-cuda-runtime-cu12",
    "nvidia-curand-cu12",
    "nvidia-cufft-cu12",
    "nvidia-cudnn-cu12",
    "tensorrt",
    "tensorrt-cu12",
    "tensorrt-cu13",
    "torch",
)


def packages() -> list[Wheel]:
    """The installed packages that carry libraries of CUDA."""
    found = []
    for name in _PACKAGES:
        try:
            found.append(Wheel(name, version(name)))
        except PackageNotFoundError:
            continue
    return found


def missing_libraries(cuda: str, open_: Callable[[str], object] = ctypes.CDLL) -> list[str]:
    """
    What a provider built for CUDA `cuda` ("13.0") names and cannot be loaded; Linux only.

    To be asked after the libraries of packages were loaded, which are then found by their names.
    """
    if sys.platform != "linux":
        return []
    missing = []
    for name in _NEEDED.get(cuda.partition(".")[0], ()):
        try:
            open_(name)
        except OSError:
            missing.append(name)
    return missing
