"""ONNX Runtime as it is with a card: the real one on the processor, under CUDA's name.

What kernels only a card has are computed in numpy. Where things break is said with `Faults`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime as real
from onnx.reference import ReferenceEvaluator

from doubles.contrib import OPERATORS
from doubles.cuda_memory import CudaLibrary, OrtValue

__all__ = ["CPU", "CUDA", "TENSORRT", "CudaRuntime", "Faults"]

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
_TYPES = {"tensor(int32)": np.int32, "tensor(int64)": np.int64, "tensor(float)": np.float32}


@dataclass
class Faults:
    """What a card does wrong; each names ways to run: plain, padded, packed, captured, bound."""

    starts: str | None = None
    """The error with which no session starts."""
    absent: bool = False
    """The provider is left out in silence, as when a library is missing."""
    lacks: set[str] = field(default_factory=set)
    """Providers that are left out in silence, because their own libraries are missing."""
    full: str | None = None
    """What every run says that finds no memory on the card."""
    room: int | None = None
    """How many texts a run has memory for."""
    raises: set[str] = field(default_factory=set)
    wrong: dict[str, float] = field(default_factory=dict)
    """How far off each number is."""
    beyond: int = 0
    """Only batches whose texts are longer than so many tokens are wrong."""
    capturing: Callable[[], None] | None = None
    """What happens, once, while a CUDA graph is captured."""


class CudaRuntime:
    """Stands for the module `onnxruntime`."""

    def __init__(self, compiled: list[str] | None = None, faults: Faults | None = None) -> None:
        self.compiled = [TENSORRT, CUDA, CPU] if compiled is None else compiled
        self.faults = faults or Faults()
        self.made: list[Session] = []
        self.library = CudaLibrary()
        self.OrtValue = SimpleNamespace(ortvalue_from_shape_and_type=self._value)
        self.GraphOptimizationLevel = real.GraphOptimizationLevel
        self.preloaded = 0
        self.capture: Session | None = None

    def get_available_providers(self) -> list[str]:
        return self.compiled

    def preload_dlls(self) -> None:
        self.preloaded += 1
        print("missing: libcudnn")  # noqa: T201 - as it does

    def SessionOptions(self) -> real.SessionOptions:  # noqa: N802 - ONNX Runtime's name
        return real.SessionOptions()

    def RunOptions(self) -> SimpleNamespace:  # noqa: N802 - the same
        entries: dict[str, str] = {}
        return SimpleNamespace(entries=entries, add_run_config_entry=entries.__setitem__)

    def InferenceSession(  # noqa: N802 - the same
        self,
        path: Path,
        options: real.SessionOptions,
        *,
        providers: list,
        enable_fallback: int = 1,
    ) -> Session:
        pairs = [(item, {}) if isinstance(item, str) else item for item in providers]
        names = [name for name, _ in pairs]
        if names[0] != CPU:
            self.require_no_capture()
        refused = names[0] != CPU and (self.faults.starts or _refused(dict(pairs)))
        if refused:
            if not enable_fallback:
                raise RuntimeError(refused)
            print(f"*** EP Error ***\nEP Error {refused}")  # noqa: T201 - as it does
            pairs, names = [(CPU, {})], [CPU]
        lacks = {TENSORRT, CUDA} if self.faults.absent else self.faults.lacks
        taken = [name for name in names if name not in lacks]
        made = Session(self, path, options, taken, dict(pairs))
        made.falls_back = bool(enable_fallback)
        self.made.append(made)
        return made

    def _value(self, shape, dtype, kind: str, card: int) -> OrtValue:
        assert kind == "cuda"
        return OrtValue(np.zeros(shape, dtype), card, self.library)

    def require_no_capture(self) -> None:
        """Captures are global: meanwhile nothing else may use a card, and they break if it does."""
        if self.capture is not None:
            self.capture = None
            raise RuntimeError("CUDA failure 900: operation not permitted when stream is capturing")

    def on(self, provider: str) -> list[Session]:
        """The sessions that were made on a provider."""
        return [item for item in self.made if item.get_providers()[0] == provider]


class Session:
    def __init__(
        self, runtime: CudaRuntime, path: Path, options: object, names: list[str], asked: dict
    ) -> None:
        self.runtime, self.names, self.asked, self.options = runtime, names, asked, options
        self.falls_back = True
        self.runs: list[dict[str, str]] = []
        self.shapes: list[tuple[int, ...]] = []
        model = onnx.load(path)
        if asked.get(CUDA, {}).get("enable_cuda_graph") == "1":
            # It would copy from memory that is free when the capture is replayed.
            assert "GatherND" not in {node.op_type for node in model.graph.node}
        if names[0] != CPU:
            _forgive(model.graph)
        kinds = {node.op_type for node in model.graph.node}
        self.way = (
            "packed"
            if "PackedMultiHeadAttention" in kinds
            else "padded"
            if "Attention" in kinds
            else "plain"
        )
        plain = real.SessionOptions()
        plain.intra_op_num_threads = 1
        self._shown = model.graph
        self._real = (
            None
            if self.way == "packed"
            else real.InferenceSession(
                model.SerializeToString(), plain, providers=["CPUExecutionProvider"]
            )
        )
        self._numpy = ReferenceEvaluator(model, new_ops=OPERATORS) if self._real is None else None

    def get_providers(self) -> list[str]:
        return self.names

    def get_inputs(self) -> list:
        if self._real is not None:
            return self._real.get_inputs()
        kinds = {onnx.TensorProto.INT32: "tensor(int32)", onnx.TensorProto.FLOAT: "tensor(float)"}
        return [
            SimpleNamespace(name=item.name, type=kinds[item.type.tensor_type.elem_type])
            for item in self._shown.input
        ]

    def get_outputs(self) -> list:
        size = self._shown.output[0].type.tensor_type.shape.dim[1].dim_value
        return [SimpleNamespace(name=self._shown.output[0].name, shape=["batch", size])]

    def run(self, outputs: list[str] | None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        try:
            return self.compute(feeds, {self.way})
        except RuntimeError:
            if not self.falls_back:
                raise
            # Made again with the provider's defaults, which round to TF32's ten bits.
            print("EP Error: falling back and retrying")  # noqa: T201 - as it does
            return [self._real.run(None, feeds)[0] + np.float32(1e-3)]

    def compute(self, feeds: dict[str, np.ndarray], ways: set[str]) -> list[np.ndarray]:
        self.shapes.append(next(iter(feeds.values())).shape)
        on_card = self.names[0] != CPU
        if on_card:
            self.runtime.require_no_capture()
        if self.asked.get(CUDA, {}).get("enable_cuda_graph") == "1":
            ways = ways | {"captured"}
        if on_card and self.runtime.faults.full:
            raise RuntimeError(self.runtime.faults.full)
        rows = len(feeds.get("inside", feeds.get("ids")))
        if on_card and self.runtime.faults.room is not None and rows > self.runtime.faults.room:
            raise RuntimeError("Failed to allocate memory for requested buffer of size 9")
        if on_card and ways & self.runtime.faults.raises:
            raise RuntimeError("no kernel image is available for execution on the device\nstack")
        found = self._real.run(None, feeds) if self._real else self._numpy.run(None, feeds)
        longest = feeds.get("inside", feeds.get("ids")).shape[-1]
        for way in ways if on_card and longest > self.runtime.faults.beyond else ():
            found[0] = found[0] + np.float32(self.runtime.faults.wrong.get(way, 0))
        return found

    def _capture(self) -> None:
        """The second run of a shape is captured."""
        happens, self.runtime.faults.capturing = self.runtime.faults.capturing, None
        self.runtime.capture = self
        if happens is not None:
            happens()
        if self.runtime.capture is None:
            raise RuntimeError("CUDA failure 901: operation failed due to a previous error")
        self.runtime.capture = None

    def io_binding(self) -> Binding:
        return Binding()

    def run_with_iobinding(self, binding: Binding, options: SimpleNamespace | None = None) -> None:
        self.runs.append({} if options is None else dict(options.entries))
        feeds = {}
        for name, (kind, shape, place) in binding.inputs.items():
            size = int(np.prod(shape)) * kind.itemsize
            feeds[name] = np.frombuffer(ctypes.string_at(place, size), kind).reshape(shape)
        found = np.ascontiguousarray(self.compute(feeds, {self.way, "bound"})[0])
        if options is not None and self.runs.count({"gpu_graph_id": "1"}) == 2:
            self._capture()
        ((shape, place),) = binding.outputs.values()
        assert tuple(shape) == found.shape
        ctypes.memmove(place, found.ctypes.data, found.nbytes)


# onnxruntime_pybind_state.cc: TensorRT's are read as words, CUDA's as numbers or words.
_SWITCHES = {
    "trt_fp16_enable",
    "trt_layer_norm_fp32_fallback",
    "trt_engine_cache_enable",
    "trt_timing_cache_enable",
}


def _refused(asked: dict[str, dict[str, str]]) -> str | None:
    """What ONNX Runtime says to an option that it cannot read."""
    for key, value in asked.get(TENSORRT, {}).items():
        if key in _SWITCHES and value not in {"True", "true", "False", "false"}:
            return f"[ERROR] [TensorRT] The value for the key '{key}' should be 'True' or 'False'."
    return None


def _forgive(graph: onnx.GraphProto) -> None:
    """A card's Gather does not refuse an index beyond its table; it reads zeros."""
    tables = {node.input[0] for node in graph.node if node.op_type == "Gather"}
    for item in graph.initializer:
        if item.name in tables and len(item.dims) == 2:
            table = onnx.numpy_helper.to_array(item)
            zeros = np.zeros((1000, table.shape[1]), table.dtype)
            item.CopyFrom(onnx.numpy_helper.from_array(np.concatenate([table, zeros]), item.name))


class Binding:
    def __init__(self) -> None:
        self.inputs: dict[str, tuple[np.dtype, list[int], int]] = {}
        self.outputs: dict[str, tuple[list[int], int]] = {}

    def bind_input(self, name, kind, card, dtype, shape, place) -> None:
        assert kind == "cuda"
        self.inputs[name] = (np.dtype(dtype), shape, place)

    def bind_output(self, name, kind, card, dtype, shape, place) -> None:
        assert kind == "cpu"
        self.outputs[name] = (shape, place)

    def bind_ortvalue_output(self, name, value: OrtValue) -> None:
        self.outputs[name] = (list(value.array.shape), value.data_ptr())
