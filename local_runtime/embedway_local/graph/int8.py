"""Builds and keeps the int8 form of a checkpoint's graph."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

import numpy as np

from embedway_local.agreement import CALIBRATION
from embedway_local.file import alone, aside
from embedway_local.graph.cache import built
from embedway_local.processor import mixed_signs_are_exact
from embedway_local.provider import load
from embedway_local.retrieval_set import shipped_set
from embedway_local.tokenise import Tokeniser

if TYPE_CHECKING:
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

    from embedway_local.checkpoint import Checkpoint

__all__ = ["VERSION", "built_int8", "int8_folder"]

_log = logging.getLogger("embedway.local")

# Raise it when another int8 graph would be made of the same fp32 one.
VERSION = 1


def int8_folder(exact: Path) -> Path:
    """Where the int8 form of a graph is kept, by the version of the quantiser and the processor."""
    signs = "signed" if mixed_signs_are_exact() else "unsigned"
    facts = f"{exact.parent.name}\nint8 {VERSION} {signs}"
    return exact.parent.with_name(hashlib.sha256(facts.encode()).hexdigest()[:32])


def built_int8(checkpoint: Checkpoint, home: Path) -> Path:
    """
    The path of the checkpoint's int8 model under `home`, built now if it is not there yet.

    Raises the errors of `build` and of `quantise`.
    """
    exact = built(checkpoint, home)
    folder = int8_folder(exact)
    path = folder / "model.onnx"
    if path.is_file():
        return path

    # Imported here: `onnx` costs 0.2 s and 40 MB, and only a first run builds.
    import onnx

    from embedway_local.graph.build import save
    from embedway_local.graph.quantise import quantise

    _log.info("building the int8 graph of %s", checkpoint.folder)
    with alone(folder):
        if path.is_file():
            return path
        model = onnx.load(exact)
        with aside(folder) as work:
            largest = _largest(model, checkpoint, work / "calibration")
            signed = mixed_signs_are_exact()
            save(quantise(model, largest, signed=signed), work / "model.onnx")
    return path


def _largest(
    model: onnx.ModelProto, checkpoint: Checkpoint, work: Path
) -> dict[str, NDArray[np.float32]]:
    """The largest magnitudes that projections see on some of the shipped passages."""
    import shutil

    from embedway_local.graph.build import save
    from embedway_local.graph.calibrate import calibration, channels

    texts = list(shipped_set().corpus.values())[:CALIBRATION]
    ids, _ = Tokeniser(checkpoint).encode(texts)
    probe = calibration(model)
    if probe is None:
        return {}
    work.mkdir()
    save(probe, work / "model.onnx")
    session = load(work / "model.onnx", "cpu", 1, pad=checkpoint.pad).session
    found = np.max([session.run([item])[0] for item in ids], axis=0)
    del session
    shutil.rmtree(work)
    return channels(model, found)
