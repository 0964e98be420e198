"""Keeps the graphs that only a card runs, beside the plain ones."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from embedway_local.file import digest
from embedway_local.graph.cache import kept, weights_digest

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

    from embedway_local.checkpoint import Checkpoint

__all__ = ["VERSION", "card_graph"]

# Raise it when `fused` would make another graph of the same checkpoint.
VERSION = 1


def card_graph(checkpoint: Checkpoint, home: Path, *, packed: bool, half: bool) -> Path:
    """
    The path of the checkpoint's fused graph under `home`, built now if it is not there yet.

    Raises the errors of `fused`, and of `kept`.
    """

    def place() -> Path:
        facts = [
            f"fused {VERSION}",
            "packed" if packed else "padded",
            "fp16" if half else "fp32",
            checkpoint.pooling,
            digest(checkpoint.folder / "config.json"),
            weights_digest(checkpoint, home),
        ]
        name = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:32]
        return home / "graphs" / name / "model.onnx"

    def make() -> onnx.ModelProto:
        from embedway_local.graph.fused import fused

        return fused(checkpoint, packed=packed, half=half)

    return kept(checkpoint, place, make)
