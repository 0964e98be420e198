"""Chooses where a model runs: a CUDA card when it really works, else the processor."""

from __future__ import annotations

import contextlib
import logging
import sys
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Literal, TypeAlias

from embedway_local.alone import Alone
from embedway_local.error import DeviceUnavailable, LocalError, ModelCorrupt
from embedway_local.machine import usable_cores
from embedway_local.session import Session

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Device", "Loaded", "load"]

_log = logging.getLogger("embedway.local")

Device: TypeAlias = Literal["auto", "cpu", "cuda"]

# Padded tokens in one call. On a processor the activations then stay in the second-level cache;
# a card needs many more to be busy.
_CPU_TOKENS = 384
_CUDA_TOKENS = 16_384

# A text that comes alone is computed on several cores, in 0.55 to 0.85 of the time on two. More
# than four are left to others. The second session's weights are memory: 45 MB for MiniLM, but
# hundreds for large models, which do without.
_ALONE_CORES = 4
_ALONE_BYTES = 150_000_000

_INSTALL = '`pip uninstall -y onnxruntime onnxruntime-gpu && pip install "embedway[gpu]"`'


@dataclass(frozen=True, slots=True)
class Loaded:
    """A session, where it runs, and how it is best fed."""

    session: Session
    device: Literal["cpu", "cuda"]
    callers: int
    """How many calls may run at once."""
    tokens: int
    """How many padded tokens one call should hold."""
    alone: Alone | None = None
    """What runs a text that comes alone, where several cores are faster for it than one."""


def load(path: Path, device: Device, threads: int | None, *, pad: int = 0) -> Loaded:
    """
    Load a built graph; `threads` bounds the cores used, by default all that this process may use.

    "auto" takes the card when the session that was made really runs there, and says in one log
    line what it took and why. "cuda" raises `DeviceUnavailable` with the cure instead of falling
    back. `pad` is the token that fills a batch's shorter rows.
    """
    if device == "cpu":
        _log.info("running on the processor: asked for")
        return _on_cpu(path, threads, pad)
    if device not in {"auto", "cuda"}:
        raise ValueError(f'device={device!r}: "auto", "cpu" and "cuda" are known')
    try:
        loaded = _on_cuda(path, pad)
    except DeviceUnavailable as error:
        if device == "cuda":
            raise
        _log.info("running on the processor: %s", error.reason)
        return _on_cpu(path, threads, pad)
    _log.info("running on CUDA: %s", "asked for" if device == "cuda" else "a card works")
    return loaded


def _on_cpu(path: Path, threads: int | None, pad: int) -> Loaded:
    cores = threads or usable_cores()
    # One thread a call and as many calls as cores: no core waits for another within a call, and
    # many callers cannot oversubscribe the machine.
    session = _cpu_session(path, 1, pad)
    alone = None
    if cores > 1 and sum(file.stat().st_size for file in path.parent.iterdir()) <= _ALONE_BYTES:
        alone = Alone(partial(_cpu_session, path, min(cores, _ALONE_CORES), pad))
    return Loaded(session, "cpu", cores, _CPU_TOKENS, alone)


def _cpu_session(path: Path, threads: int, pad: int) -> Session:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Stating the number keeps ONNX Runtime from pinning threads, which fails in containers.
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if threads > 1:
        # Idle threads sleep instead of taking the cores from whoever has work.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Every batch has another shape, so remembered memory patterns only accumulate.
    options.enable_mem_pattern = False
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no public class
        raise ModelCorrupt(
            f"{path}: ONNX Runtime cannot load it ({error}); "
            "delete its folder, and it is built again"
        ) from error
    return Session(session, pad=pad)


def _on_cuda(path: Path, pad: int) -> Loaded:
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise DeviceUnavailable(_without_cuda(), _INSTALL)
    _preload()
    options = onnxruntime.SessionOptions()
    options.enable_mem_pattern = False
    # 4: fatal only. The failure is reported by us, in one sentence.
    options.log_severity_level = 4
    cuda = ("CUDAExecutionProvider", {"arena_extend_strategy": "kSameAsRequested"})
    cure = (
        f"check that `nvidia-smi` shows a card and driver 580 or later (CUDA 13); then {_INSTALL}"
    )
    try:
        made = onnxruntime.InferenceSession(path, options, providers=[cuda, "CPUExecutionProvider"])
    except Exception as error:  # the same; some versions raise when a library is missing
        raise DeviceUnavailable(f"CUDA did not start ({error})", cure) from error
    # `get_available_providers` lists what was compiled in; only the session knows what works.
    if made.get_providers()[0] != "CUDAExecutionProvider":
        raise DeviceUnavailable("onnxruntime-gpu is installed, but CUDA did not start", cure)
    session = Session(made, pad=pad)
    try:
        # A card that is too old, or full, fails on its first kernel and not before.
        session.run([[pad]])
    except LocalError as error:
        raise DeviceUnavailable(f"the card failed its first run ({error})", cure) from error
    return Loaded(session, "cuda", 2, _CUDA_TOKENS)


def _preload() -> None:
    """Load CUDA's libraries from the packages that carry them."""
    import onnxruntime

    # Since 1.21; before, only LD_LIBRARY_PATH finds them.
    preload = getattr(onnxruntime, "preload_dlls", None)
    if preload is not None:
        # It prints what it misses, and stdout belongs to our caller.
        with contextlib.redirect_stdout(sys.stderr):
            preload()


def _without_cuda() -> str:
    """Why the ONNX Runtime that was imported has no CUDA."""
    if _installed("onnxruntime") and _installed("onnxruntime-gpu"):
        # Both write site-packages/onnxruntime, and the last one wins:
        # https://github.com/microsoft/onnxruntime/issues/26996
        return "onnxruntime overwrote onnxruntime-gpu, which cannot be installed beside it"
    return "the installed onnxruntime is built without CUDA"


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
