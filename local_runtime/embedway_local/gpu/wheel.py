"""Which ONNX Runtime is installed, whether several clash, and how to get the right one."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

__all__ = ["Wheel", "clash", "install_line", "wheels"]

# All of them write site-packages/onnxruntime, and the last one wins:
# https://github.com/microsoft/onnxruntime/issues/26996
_OWNERS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-openvino",
    "onnxruntime-directml",
    "onnxruntime-migraphx",
    "onnxruntime-qnn",
    "onnxruntime-rocm",
    "onnxruntime-training",
    "onnxruntime-webgpu",
    "onnxruntime-windowsml",
)
# The first driver that runs CUDA 13, as `cuDriverGetVersion` counts.
_CUDA_13 = 13_000


@dataclass(frozen=True, slots=True)
class Wheel:
    """An installed distribution that owns the package `onnxruntime`."""

    name: str
    version: str


def wheels() -> list[Wheel]:
    """Every installed distribution that owns `onnxruntime`; more than one clash."""
    found = []
    for name in _OWNERS:
        try:
            found.append(Wheel(name, version(name)))
        except PackageNotFoundError:
            continue
    return found


def clash(found: list[Wheel], *, compiled: bool) -> str | None:
    """
    A sentence on distributions that overwrite each other; None when there is one at most.

    `compiled` says whether the ONNX Runtime that is imported has CUDA.
    """
    names = [wheel.name for wheel in found]
    if len(names) < 2:
        return None
    if names == ["onnxruntime", "onnxruntime-gpu"]:
        if compiled:
            return "onnxruntime and onnxruntime-gpu are both installed, and the next update breaks"
        return "onnxruntime overwrote onnxruntime-gpu, which cannot be installed beside it"
    return f"{', '.join(names)} overwrite each other, and cannot be installed together"


def install_line(extra: str, found: list[Wheel] | None = None, *, driver: int | None = None) -> str:
    """
    The line that puts the right ONNX Runtime in place of whatever is installed.

    `driver` is the CUDA version that the driver runs (12080); before 13 it wants another extra.
    """
    names = dict.fromkeys(["onnxruntime", "onnxruntime-gpu"])
    names |= dict.fromkeys(wheel.name for wheel in found or wheels())
    if extra == "gpu" and driver is not None and driver < _CUDA_13:
        extra = "gpu-cu12"
    return f'`pip uninstall -y {" ".join(names)} && pip install "embedway[{extra}]"`'
