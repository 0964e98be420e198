"""Keeps the graphs that only a card runs, beside the plain ones."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

from embedway_local.file import alone, aside, digest
from embedway_local.graph.cache import weights_digest

if TYPE_CHECKING:
    from pathlib import Path

    from embedway_local.checkpoint import Checkpoint

__all__ = ["VERSION", "card_graph"]

_log = logging.getLogger("embedway.local")

# Raise it when `fused` would make another graph of the same checkpoint.
VERSION = 1


def card_graph(checkpoint: Checkpoint, home: Path, *, packed: bool, half: bool) -> Path:
    """
    The path of the checkpoint's fused graph under `home`, built now if it is not there yet.

    Raises the errors of `fused`.
    """
    facts = "\n".join(
        [
            f"fused {VERSION}",
            "packed" if packed else "padded",
            "fp16" if half else "fp32",
            checkpoint.pooling,
            digest(checkpoint.folder / "config.json"),
            weights_digest(checkpoint, home),
        ]
    )
    folder = home / "graphs" / hashlib.sha256(facts.encode()).hexdigest()[:32]
    path = folder / "model.onnx"
    if path.is_file():
        return path

    from embedway_local.graph.build import save
    from embedway_local.graph.fused import fused

    _log.info("building the card's graph of %s", checkpoint.folder)
    with alone(folder):
        if path.is_file():
            return path
        with aside(folder) as work:
            save(fused(checkpoint, packed=packed, half=half), work / "model.onnx")
    return path
