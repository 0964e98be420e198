"""Keeps built graphs, one for each checkpoint, pooling and version of the builder."""

from __future__ import annotations

import hashlib
import logging
from functools import partial
from typing import TYPE_CHECKING

from embedway_local.error import LocalError, ModelCorrupt
from embedway_local.file import alone, aside, digest, known_digest
from embedway_local.setting import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import onnx

    from embedway_local.checkpoint import Checkpoint
    from embedway_local.scoring import Scoring

__all__ = ["VERSION", "built", "kept", "place", "weights_digest"]

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

    With `scoring` it is a cross-encoder's. Raises the errors of `build`, and of `kept`.
    """

    def make() -> onnx.ModelProto:
        # Imported here: `onnx` costs 0.2 s and 40 MB, and only a first run builds.
        from embedway_local.graph.build import build

        return build(checkpoint, scoring)

    return kept(checkpoint, partial(place, checkpoint, home, scoring=scoring), make)


def kept(
    checkpoint: Checkpoint, where: Callable[[], Path], make: Callable[[], onnx.ModelProto]
) -> Path:
    """
    The path that `where` tells of the checkpoint's files, with what `make` makes of them in it.

    Raises `ModelCorrupt` when the files change meanwhile: what was made of the new ones would be
    taken for the old ones' for ever.
    """
    path = where()
    folder = path.parent
    if path.is_file():
        return path
    from embedway_local.graph.build import save

    _log.info("building a graph of %s", checkpoint.folder)
    with alone(folder):
        if path.is_file():
            return path
        with aside(folder) as work:
            save(make(), work / "model.onnx")
            if _changed(checkpoint, path, where):
                raise ModelCorrupt(
                    f"{checkpoint.folder}: changed while it was read; "
                    "open it again when nothing writes there any more"
                )
    return path


def _changed(checkpoint: Checkpoint, path: Path, where: Callable[[], Path]) -> bool:
    try:
        now = read_settings(checkpoint.folder / "config.json").values
        # What was read is from before the first digest. As text, for a NaN is not equal to itself.
        return where() != path or repr(now) != repr(checkpoint.config.values)
    except (LocalError, OSError):  # a file that is gone by now, or half of one
        return True
