"""Finds models in the Hugging Face hub's cache (`HF_HOME`), without the network."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from embedway_local.file import known_digest

if TYPE_CHECKING:
    from embedway_local.catalogue import Pin

__all__ = ["cached", "has_pipeline", "is_pinned"]

_log = logging.getLogger("embedway.local")

# It names what follows the encoder: of a model that has it, nothing says that it is missing.
_PIPELINE = "modules.json"


def cached(
    model: str, pin: Pin | None, home: Path, complete: Callable[[Path], bool]
) -> Path | None:
    """
    The folder of a snapshot of the model.

    A pinned model's snapshot counts when its files are the pinned ones, whatever its commit;
    another's when it is `complete`: the one that `main` points to, else the newest.
    """
    for folder in _snapshots(model):
        if is_pinned(folder, pin, home) if pin is not None else complete(folder):
            _log.info("taking %s from the hub's cache, commit %s", model, folder.name)
            return folder
    return None


def is_pinned(folder: Path, pin: Pin, home: Path) -> bool:
    """Are all files of the pinned model here, with their pinned digests?"""
    return all(
        (folder / name).is_file() and known_digest(folder / name, home) == expected
        for name, expected in pin.files.items()
    )


def has_pipeline(snapshot: Path) -> bool:
    """
    Does a snapshot say what the model's pipeline is, or that its repository states none?

    A program that reads few of a repository's files leaves a snapshot of those, without a word of
    the others. Of one that it asked for in vain the hub's client keeps a mark; and a snapshot with
    `.gitattributes`, which no program reads, was downloaded as a whole.
    """
    mark = snapshot.parent.parent / ".no_exist" / snapshot.name / _PIPELINE
    places = (snapshot / _PIPELINE, snapshot / ".gitattributes", mark)
    return any(place.is_file() for place in places)


def _snapshots(model: str) -> Iterator[Path]:
    # Imported here: the environment decides it, and it costs 0.1 s.
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE) / f"models--{model.replace('/', '--')}"
    try:
        snapshots = [path for path in (folder / "snapshots").iterdir() if path.is_dir()]
        head = folder / "refs" / "main"
        main = head.read_text("ascii", errors="replace").strip() if head.is_file() else ""
    except OSError:
        return
    yield from sorted(snapshots, key=lambda path: (path.name != main, -path.stat().st_mtime))
