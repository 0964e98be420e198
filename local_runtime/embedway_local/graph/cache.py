"""Keeps built graphs, one for each checkpoint, pooling and version of the builder."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

from embedway_local.file import alone, aside, digest, known_digest

if TYPE_CHECKING:
    from pathlib import Path

    from embedway_local.checkpoint import Checkpoint
    from embedway_local.scoring import Scoring

__all__ = ["VERSION", "built", "place", "weights_digest"]

_log = logging.getLogger("embedway.local")

# Raise it when the builder would make another graph of the same checkpoint.
VERSION = 2


def weights_digest(checkpoint: Checkpoint, home: Path) -> str:
    """One SHA-256 over all files that the graph is made from."""
    digests = [known_digest(path, home) for path in checkpoint.graph_files]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def place(checkpoint: Checkpoint, home: Path, *, scoring: Scoring | None = None) -> Path:
    """Where the checkpoint's ONNX model is, or would be, under `home`."""
    facts = "\n".join(
        [
            f"builder {VERSION}",
            "export" if checkpoint.onnx else "weights",
            checkpoint.pooling,
            digest(checkpoint.folder / "config.json"),
            weights_digest(checkpoint, home),
            *(["pooled again"] if checkpoint.onnx and checkpoint.repooled else []),
            *([] if scoring is None else [f"scores {scoring.activation} {scoring.typed}"]),
        ]
    )
    return home / "graphs" / hashlib.sha256(facts.encode()).hexdigest()[:32] / "model.onnx"


def built(checkpoint: Checkpoint, home: Path, *, scoring: Scoring | None = None) -> Path:
    """
    The path of the checkpoint's ONNX model under `home`, built now if it is not there yet.

    With `scoring` it is a cross-encoder's. Raises the errors of `build`.
    """
    path = place(checkpoint, home, scoring=scoring)
    folder = path.parent
    if path.is_file():
        return path

    # Imported here: `onnx` costs 0.2 s and 40 MB, and only a first run builds.
    from embedway_local.graph.build import build, save

    _log.info("building the graph of %s", checkpoint.folder)
    with alone(folder):
        if path.is_file():
            return path
        with aside(folder) as work:
            save(build(checkpoint, scoring), work / "model.onnx")
    return path
