"""Counts which provider really ran how many nodes of a graph, by ONNX Runtime's own profile."""

from __future__ import annotations

import json
import logging
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from embedway_local.gpu.feed import feed_of
from embedway_local.gpu.start import CUDA, TENSORRT, cuda_options
from embedway_local.gpu.target import read_target
from embedway_local.gpu.turn import CAPTURES

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["count_nodes"]

_log = logging.getLogger("embedway.local")


def count_nodes(path: Path, device: str, pad: int) -> dict[str, int]:
    """
    Run the graph at `path` once where `device` says; how many nodes each provider ran.

    A part that a provider fused counts as one node. Empty where no profile can be had.
    """
    try:
        # It may be asked of a process that serves.
        with CAPTURES.shared(slow=True):
            return _counted(_profile(path, device, pad))
    except Exception:  # noqa: BLE001 - its exceptions share no class, and a doctor goes on
        _log.debug("no profile of %s", path, exc_info=True)
        return {}


def _profile(path: Path, device: str, pad: int) -> object:
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session: onnxruntime.InferenceSession = onnxruntime.InferenceSession(
            path, options, providers=_providers(device), enable_fallback=0
        )
        try:
            session.run(None, feed_of(session, pad=pad)([[pad] * 8, [pad] * 3]))
        finally:
            # Also ends the profile of a run that failed, whose file could not be removed else.
            profile = session.end_profiling()
        events: object = json.loads(Path(profile).read_text("utf-8"))
    return events


def _providers(device: str) -> list[tuple[str, dict[str, str]]]:
    target = read_target(device)
    last: list[tuple[str, dict[str, str]]] = [("CPUExecutionProvider", {})]
    if target.kind in {"auto", "cpu"}:
        return last
    card = target.cards[0] if target.cards else 0
    cuda = [(CUDA, cuda_options(card, None)), *last]
    if target.kind == "tensorrt":
        return [(TENSORRT, {"device_id": str(card)}), *cuda]
    return cuda


def _counted(events: object) -> dict[str, int]:
    found: dict[str, str] = {}
    for event in events if isinstance(events, list) else ():
        if event.get("cat") == "Node" and "provider" in event.get("args", {}):
            found[event["name"]] = event["args"]["provider"]
    return dict(Counter(found.values()).most_common())
