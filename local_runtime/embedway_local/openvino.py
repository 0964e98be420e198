"""Runs a graph on the processor in bfloat16, through ONNX Runtime's OpenVINO provider."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from embedway_local.error import DeviceUnavailable
from embedway_local.machine import usable_cores
from embedway_local.processor import has_bf16
from embedway_local.session import Session

if TYPE_CHECKING:
    from pathlib import Path

    import onnxruntime

__all__ = ["PROVIDER", "load_bf16"]

PROVIDER = "OpenVINOExecutionProvider"

_INSTALL = (
    "`pip uninstall -y onnxruntime onnxruntime-openvino && pip install "
    '"embedway[openvino]"` brings it, or use precision="fp32"'
)


def load_bf16(path: Path, threads: int | None, *, pad: int = 0) -> tuple[Session, int]:
    """
    The session, and how many calls may run at once.

    Raises `DeviceUnavailable` with the cure where the provider or the instructions are missing:
    OpenVINO itself would compute in fp32 then, without a word.
    """
    import onnxruntime

    if not has_bf16():
        raise DeviceUnavailable(
            "this processor is not known to compute in bfloat16 (avx512_bf16 or amx_bf16)",
            'use precision="int8" or "fp32"',
        )
    if PROVIDER not in onnxruntime.get_available_providers():
        raise DeviceUnavailable(
            "bf16 on the processor needs the OpenVINO provider, which the installed onnxruntime "
            "does not have",
            _INSTALL,
        )
    cores = threads or usable_cores()
    made = _session(path, cores)
    # When it does not start, the session comes back with the plain provider, in fp32.
    if made.get_providers()[0] != PROVIDER:
        raise DeviceUnavailable("the OpenVINO provider is installed, but did not start", _INSTALL)
    return Session(made, pad=pad), cores


def _session(path: Path, cores: int) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # Its own optimiser wants the graph as it is.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # A node that it cannot run would be computed in fp32 beside it: an error instead.
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    settings = {
        "CPU": {
            "INFERENCE_PRECISION_HINT": "bf16",
            "INFERENCE_NUM_THREADS": str(cores),
            # One thread a call, as many calls as cores, as without it.
            "NUM_STREAMS": str(cores),
        }
    }
    provider = (PROVIDER, {"device_type": "CPU", "load_config": json.dumps(settings)})
    try:
        return onnxruntime.InferenceSession(path, options, providers=[provider], enable_fallback=0)
    except Exception as error:  # its exceptions share no public class
        raise DeviceUnavailable(f"OpenVINO did not start ({error})", _INSTALL) from error
