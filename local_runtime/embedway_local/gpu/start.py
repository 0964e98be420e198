"""Makes an ONNX Runtime session on a card, or says why none can be made."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from embedway_local.error import DeviceUnavailable
from embedway_local.gpu.driver import Driver
from embedway_local.gpu.fault import ROOM, is_full
from embedway_local.gpu.library import missing_libraries
from embedway_local.gpu.turn import CAPTURES
from embedway_local.gpu.wheel import clash, install_line, wheels

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["CUDA", "TENSORRT", "Start", "cuda_options", "memory_limit", "preload", "ready"]

CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

# Of what is free: the rest is for cuBLAS, and for what comes later on a card that others use.
_SHARE = 0.8


class Start:
    """What all sessions on cards share: a runtime that has CUDA, and a driver."""

    def __init__(self, driver: Driver | None) -> None:
        self.driver = driver
        cuda = driver.cuda if driver else None
        self.cure = (
            f"check that `nvidia-smi` shows a card{_needed(cuda)}; then "
            f"{install_line('gpu', driver=cuda)}"
        )

    def session(
        self,
        path: Path,
        provider: str,
        options: Mapping[str, str],
        *,
        beside: tuple[tuple[str, dict[str, str]], ...] = (),
    ) -> onnxruntime.InferenceSession:
        """
        A session whose first provider is `provider`, then those of `beside`, then the processor.

        Raises `DeviceUnavailable` when it is not: only the session knows what works.
        """
        import onnxruntime

        providers = [(provider, dict(options)), *beside, ("CPUExecutionProvider", {})]
        try:
            # 0: its own fallback would print on standard output, lose the reason, and go on with
            # a provider's defaults, among them TF32, the first card and no bound of memory.
            # TensorRT builds engines here, for minutes.
            with CAPTURES.shared(slow=True):
                made = onnxruntime.InferenceSession(
                    path, _session_options(), providers=providers, enable_fallback=0
                )
        except Exception as error:  # its exceptions share no public class
            name = "TensorRT" if provider == TENSORRT else "CUDA"
            cure = ROOM if is_full(error) else self.cure
            raise DeviceUnavailable(f"{name} did not start ({_short(error)})", cure) from error
        # A provider whose libraries are missing is left out with one line on standard error.
        if made.get_providers()[0] != provider:
            raise self._left_out(provider)
        return made

    def cards(self, asked: tuple[int, ...] | None) -> tuple[int, ...]:
        """The cards that were asked for; raises `DeviceUnavailable` for one that is not there."""
        if self.driver is None:
            # ONNX Runtime would be right about it, too, but in five lines on standard error.
            raise self._left_out(CUDA)
        seen = len(self.driver.cards)
        if asked is None:
            if not seen:
                raise self._left_out(CUDA)
            return tuple(range(seen))
        missing = [card for card in asked if seen and card >= seen]
        if missing:
            raise DeviceUnavailable(
                f"there is no card {missing[0]}; this process sees {seen}",
                "name one that `embedway check --local` shows, or change CUDA_VISIBLE_DEVICES",
            )
        return asked

    def _left_out(self, provider: str) -> DeviceUnavailable:
        """Why ONNX Runtime goes without the provider, and what helps."""
        driver = self.driver
        if driver is None:
            why = "there is no driver"
        elif not driver.cards:
            why = f"the driver says that {driver.problem}"
        else:
            why = _fault(driver) or ""
        if not why and provider == TENSORRT:
            return DeviceUnavailable(
                "onnxruntime-gpu is installed, but TensorRT did not start: its libraries cannot be "
                "loaded, and no extra brings them",
                _tensorrt_line(),
            )
        why = why or "a library is missing or of another version"
        return DeviceUnavailable(
            f"onnxruntime-gpu is installed, but CUDA did not start: {why}", self.cure
        )


def ready(ask: Callable[[], Driver | None], version: Callable[[], int | None]) -> Start:
    """
    Make CUDA's libraries known to ONNX Runtime.

    `ask` reads the driver and its cards, `version` nothing but its version, without starting it.
    Raises `DeviceUnavailable` when the ONNX Runtime that is installed has no CUDA.
    """
    import onnxruntime

    compiled = CUDA in onnxruntime.get_available_providers()
    if not compiled:
        found = wheels()
        # Not its cards: a process without CUDA would lose it for those forked from it, too.
        driver = version()
        reason = clash(found, compiled=False) or "the installed onnxruntime is built without CUDA"
        cure = install_line("gpu", found, driver=driver)
        raise DeviceUnavailable(reason, cure)
    if version() is not None:
        preload()
    return Start(ask())


def preload() -> None:
    """Load CUDA's libraries from the packages that carry them."""
    import onnxruntime

    # Since 1.21; before, only LD_LIBRARY_PATH finds them.
    preload = getattr(onnxruntime, "preload_dlls", None)
    if preload is not None:
        # It prints what it misses, and stdout belongs to our caller.
        with contextlib.redirect_stdout(sys.stderr):
            preload()


def cuda_options(card: int, limit: int | None, *, capture: bool = False) -> dict[str, str]:
    """
    The CUDA provider's options: exact in single precision, and with a bounded arena.

    https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html
    """
    options = {
        "device_id": str(card),
        # Grows by what is needed, not by doubling.
        "arena_extend_strategy": "kSameAsRequested",
        # It would round what goes into a product to 10 bits: 1e-3 instead of 1e-6.
        "use_tf32": "0",
        # Sums of a normalisation in single precision, in half precision too.
        "enable_skip_layer_norm_strict_mode": "1",
        # Encoders have no convolutions; the default tries every algorithm.
        "cudnn_conv_algo_search": "HEURISTIC",
    }
    if limit is not None:
        options["gpu_mem_limit"] = str(limit)
    if capture:
        options["enable_cuda_graph"] = "1"
    return options


def memory_limit(driver: Driver | None, card: int, asked: int | None) -> int | None:
    """Bytes that the arena may take: what was asked for, else 80 % of what is free."""
    if asked is not None:
        return asked
    for item in driver.cards if driver else ():
        if item.index == card:
            return int((item.total if item.free is None else item.free) * _SHARE)
    return None


def _session_options() -> onnxruntime.SessionOptions:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Every batch has another shape, so remembered memory patterns only accumulate.
    options.enable_mem_pattern = False
    # What remains on the processor is next to nothing; a pool of threads for it would spin.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # 4: fatal only. The failure is reported by us, in one sentence.
    options.log_severity_level = 4
    # Weights beside the arena: in it they would keep its first block from being given back.
    # https://github.com/microsoft/onnxruntime/issues/11801
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    return options


def _fault(driver: Driver) -> str | None:
    """What keeps CUDA itself from starting; None where we see nothing."""
    import onnxruntime

    built = str(getattr(onnxruntime, "cuda_version", "") or "")
    if built and int(built.partition(".")[0]) > driver.cuda // 1000:
        runs = f"{driver.cuda // 1000}.{driver.cuda % 1000 // 10}"
        return f"it is built for CUDA {built}, and the driver runs {runs} at most"
    missing = missing_libraries(built)
    if missing:
        return f"{', '.join(missing)} cannot be loaded"
    return None


def _tensorrt_line() -> str:
    """What installs the TensorRT that ONNX Runtime is built for, with its cuDNN."""
    import onnxruntime

    cuda = str(getattr(onnxruntime, "cuda_version", "") or "13").partition(".")[0]
    return f'`pip install "tensorrt-cu{cuda}<11" nvidia-cudnn-cu{cuda}`'


def _needed(cuda: int | None) -> str:
    return " and driver 580 or later (CUDA 13)" if cuda is None or cuda >= 13_000 else ""


def _short(error: Exception) -> str:
    """The first line: ONNX Runtime's go on with source files and addresses."""
    return next(iter(str(error).splitlines()), type(error).__name__)
