"""Runs a model with TensorRT, which builds an engine for a range of shapes and keeps it."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedway_local.error import DeviceUnavailable, LocalError
from embedway_local.gpu.cuda import TRIED, CudaCard, Plan
from embedway_local.gpu.fault import failed, is_full
from embedway_local.gpu.start import CUDA, TENSORRT, Start, cuda_options, memory_limit
from embedway_local.gpu.trial import hold
from embedway_local.gpu.turn import Shared
from embedway_local.session import Session

if TYPE_CHECKING:
    import onnxruntime
    from numpy.typing import NDArray

    from embedway_local.gpu.compute import Compute
    from embedway_local.gpu.driver import Driver

__all__ = ["ROWS", "on_tensorrt", "tensorrt_options"]

_log = logging.getLogger("embedway.local")

# Texts of one call. An engine holds memory for its largest shape, rows times longest text, and a
# shape beyond it builds the engine anew, which takes minutes; so larger batches are cut here.
ROWS = 64
_USUAL = (16, 64)
# The first major compute capability that has TF32.
_AMPERE = 8


def on_tensorrt(
    path: Path, start: Start, card: int, *, plan: Plan, trusted: Compute, pad: int
) -> CudaCard:
    """
    Load the plain graph at `path` on TensorRT; `trusted` is the same graph on the processor.

    The first time on a kind of card it builds an engine, which takes minutes, under
    `plan.engines`. Raises `DeviceUnavailable` when it does not start or gives other vectors, and
    at once where it would.
    """
    _require_exact(start.driver, card, plan)
    folder = plan.engines
    if folder is not None:
        folder = folder / path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
    # It loads the libraries that it carries, which ONNX Runtime then finds by their names.
    with contextlib.suppress(ImportError, OSError):
        importlib.import_module("tensorrt_libs")
    options = tensorrt_options(_inputs(path), card, plan, folder)
    limit = memory_limit(start.driver, card, plan.use.memory)
    _log.info("loading TensorRT's engine, or building it, which takes minutes once")
    beside = ((CUDA, cuda_options(card, limit)),)
    session = start.session(path, TENSORRT, options, beside=beside)
    made = _Cut(Shared(Session(session, pad=pad, rows=plan.rows)))
    try:
        hold(made, trusted, plan.texts(TRIED), plan.precision)
    except LocalError as error:
        if is_full(error):
            raise failed("TensorRT", error) from error
        raise DeviceUnavailable(
            f"TensorRT failed its first run ({error})",
            'use device="cuda", or delete the folder "engines" under EMBEDWAY_HOME',
        ) from error
    return CudaCard(made, None, plan.precision, f"TensorRT {plan.precision}")


def tensorrt_options(
    inputs: Sequence[tuple[str, int]], card: int, plan: Plan, folder: Path | None
) -> dict[str, str]:
    """
    The provider's options for a graph with these inputs, each a name and how many axes it has.

    https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html
    """
    # Its switches are True and False, unlike those of CUDA; it raises for a number.
    options = {
        "device_id": str(card),
        "trt_fp16_enable": str(plan.precision == "fp16"),
        "trt_layer_norm_fp32_fallback": "True",
    }
    usual = _USUAL[0], min(_USUAL[1], plan.longest)
    for name, shape in (("min", (1, 1)), ("opt", usual), ("max", (ROWS, plan.longest))):
        options[f"trt_profile_{name}_shapes"] = ",".join(
            f"{item}:{'x'.join(map(str, shape[:axes]))}" for item, axes in inputs
        )
    if folder is not None:
        options |= {
            "trt_engine_cache_enable": "True",
            "trt_engine_cache_path": str(folder),
            "trt_timing_cache_enable": "True",
            "trt_timing_cache_path": str(folder),
        }
    return options


def _require_exact(driver: Driver | None, card: int, plan: Plan) -> None:
    """
    Refuse single precision where TensorRT would round it to TF32, before minutes of building.

    It does from compute capability 8.0, and ONNX Runtime has no option against it; this variable
    has, of CUDA's libraries: https://docs.nvidia.com/deeplearning/tensorrt/
    """
    if plan.precision != "fp32" or os.environ.get("NVIDIA_TF32_OVERRIDE") == "0":
        return
    found = next((item for item in driver.cards if item.index == card), None) if driver else None
    if found is None or int(found.capability.partition(".")[0]) >= _AMPERE:
        raise DeviceUnavailable(
            "TensorRT rounds single precision to TF32 on this card, 1e-3 off",
            'use precision="fp16" or device="cuda", or set NVIDIA_TF32_OVERRIDE=0 in the '
            "environment before the process starts",
        )


def _inputs(path: Path) -> list[tuple[str, int]]:
    """The inputs of a graph, read without building it for anything."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session: onnxruntime.InferenceSession = onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"], enable_fallback=0
    )
    return [(item.name, len(item.shape)) for item in session.get_inputs()]


class _Cut:
    """Calls of at most `ROWS` texts."""

    def __init__(self, inner: Compute) -> None:
        self._inner = inner
        self.dimensions: int = inner.dimensions

    def run(self, ids: Sequence[Sequence[int]], /) -> NDArray[np.float32]:
        parts = [self._inner.run(ids[at : at + ROWS]) for at in range(0, len(ids), ROWS)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
