"""Chooses where a model runs: a CUDA card when it really works, else the processor."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from embedway_local.error import DeviceUnavailable, ModelCorrupt
from embedway_local.machine import usable_cores

if TYPE_CHECKING:
    from pathlib import Path

    import onnxruntime

__all__ = ["Device", "Loaded", "load"]

_log = logging.getLogger("embedway.local")

Device: TypeAlias = Literal["auto", "cpu", "cuda"]

# Padded tokens in one call. On a processor the activations then stay in the second-level cache;
# a card needs many more to be busy.
_CPU_TOKENS = 384
_CUDA_TOKENS = 16_384

_INSTALL = '`pip uninstall -y onnxruntime onnxruntime-gpu && pip install "embedway[gpu]"`'


@dataclass(frozen=True, slots=True)
class Loaded:
    """A session, where it runs, and how it is best fed."""

    session: onnxruntime.InferenceSession
    device: Literal["cpu", "cuda"]
    callers: int
    """How many calls may run at once."""
    tokens: int
    """How many padded tokens one call should hold."""


def load(path: Path, device: Device, threads: int | None) -> Loaded:
    """
    Load a built graph; `threads` bounds the cores used, by default all that this process may use.

    "auto" takes the card when the session that was made really runs there, and says in one log
    line what it took and why. "cuda" raises `DeviceUnavailable` with the cure instead of falling
    back.
    """
    if device == "cpu":
        return _on_cpu(path, threads)
    try:
        loaded = _on_cuda(path)
    except DeviceUnavailable as error:
        if device == "cuda":
            raise
        _log.info("running on the processor: %s", error.reason)
        return _on_cpu(path, threads)
    _log.info("running on CUDA")
    return loaded


def _on_cpu(path: Path, threads: int | None) -> Loaded:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # One thread a call and as many calls as cores: twice as fast here as one call on all cores,
    # and many callers cannot oversubscribe the machine. Stating the number also keeps ONNX
    # Runtime from pinning threads, which fails in containers.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # Every batch has another shape, so remembered memory patterns only accumulate.
    options.enable_mem_pattern = False
    session = _session(path, options, ["CPUExecutionProvider"])
    return Loaded(session, "cpu", threads or usable_cores(), _CPU_TOKENS)


def _on_cuda(path: Path) -> Loaded:
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise DeviceUnavailable("the installed onnxruntime is built without CUDA", _INSTALL)
    onnxruntime.preload_dlls()
    options = onnxruntime.SessionOptions()
    options.enable_mem_pattern = False
    # 4: fatal only. The failure is reported by us, in one sentence.
    options.log_severity_level = 4
    cuda = ("CUDAExecutionProvider", {"arena_extend_strategy": "kSameAsRequested"})
    session = _session(path, options, [cuda, "CPUExecutionProvider"])
    # `get_available_providers` lists what was compiled in; only the session knows what works.
    if session.get_providers()[0] != "CUDAExecutionProvider":
        raise DeviceUnavailable(
            "onnxruntime-gpu is installed, but CUDA did not start",
            f"check that `nvidia-smi` shows a card and driver 580 or later (CUDA 13); then {_INSTALL}",
        )
    return Loaded(session, "cuda", 2, _CUDA_TOKENS)


def _session(
    path: Path, options: onnxruntime.SessionOptions, providers: list[object]
) -> onnxruntime.InferenceSession:
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # its exceptions share no public class
        raise ModelCorrupt(f"{path}: ONNX Runtime cannot load it ({error})") from error
