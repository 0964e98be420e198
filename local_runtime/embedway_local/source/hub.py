"""Finds models in the Hugging Face hub's cache, and downloads them from the hub."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from embedway_local.error import ModelNotFound
from embedway_local.file import known_digest

if TYPE_CHECKING:
    from embedway_local.catalogue import KnownModel

__all__ = ["cached", "download"]

_PROBE_SECONDS = 5.0

# What runs a model, of all that a repository may hold. Weights come on top.
_SETTINGS = [
    "config.json",
    "config_sentence_transformers.json",
    "modules.json",
    "sentence_bert_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "*_Pooling/config.json",
]
_WEIGHTS = ["model.safetensors", "model-*.safetensors", "model.safetensors.index.json"]
_ONNX = ["onnx/model.onnx", "onnx/model.onnx_data", "onnx/model.onnx.data"]


def cached(model: str, known: KnownModel | None, home: Path) -> Path | None:
    """
    The folder of a snapshot in the hub's cache (`HF_HOME`), never touching the network.

    A known model's snapshot counts when its files are the pinned ones, whatever its commit.
    """
    for folder in _snapshots(model):
        if known is None:
            if (folder / "config.json").is_file() and _has_weights(folder):
                return folder
        elif all(
            (folder / name).is_file() and known_digest(folder / name, home) == expected
            for name, expected in known.files.items()
        ):
            return folder
    return None


def download(
    model: str, known: KnownModel | None, folder: Path, *, buildable: frozenset[str]
) -> str:
    """
    Download into `folder` through the hub's cache, which resumes what was interrupted.

    Returns the commit. `buildable` are the architectures that need no ONNX export. Raises
    `ModelNotFound` with the reason when the hub cannot be reached or has no such model.
    """
    # Imported here: it costs 0.3 s, and is not needed once a model is in the store.
    from httpx import HTTPError
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        _require_reachable()
        wanted = known.revision if known is not None else None
        first = Path(hf_hub_download(model, "config.json", revision=wanted)).parent
        revision = first.name
        patterns = list(known.files) if known else [*_SETTINGS, *_weights(first, buildable)]
        snapshot = Path(snapshot_download(model, revision=revision, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, HTTPError, OSError) as error:
        raise ModelNotFound(str(error).splitlines()[0]) from error
    _link(snapshot, folder)
    return revision


def _require_reachable() -> None:
    """Ask once, because the hub's client asks for half a minute before it gives up."""
    import httpx
    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE

    if HF_HUB_OFFLINE:
        raise ModelNotFound("not asked, because HF_HUB_OFFLINE is set")
    try:
        httpx.head(ENDPOINT, timeout=_PROBE_SECONDS)
    except httpx.TransportError as error:
        raise ModelNotFound(f"{ENDPOINT} cannot be reached ({error})") from error


def _weights(snapshot: Path, buildable: frozenset[str]) -> list[str]:
    from embedway_local.setting import read_settings

    kind = read_settings(snapshot / "config.json").values.get("model_type")
    return _WEIGHTS if kind in buildable else _ONNX


def _snapshots(model: str) -> Iterator[Path]:
    """Snapshots of the model, the one that `main` points to first."""
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE) / f"models--{model.replace('/', '--')}"
    main = folder / "refs" / "main"
    if main.is_file():
        yield folder / "snapshots" / main.read_text("ascii").strip()
    if (folder / "snapshots").is_dir():
        yield from sorted(path for path in (folder / "snapshots").iterdir() if path.is_dir())


def _has_weights(folder: Path) -> bool:
    names = ("model.safetensors", "model.safetensors.index.json", "onnx/model.onnx", "model.onnx")
    return any((folder / name).is_file() for name in names)


def _link(snapshot: Path, folder: Path) -> None:
    """Fill `folder` with the snapshot's files: hard links where the file system allows them."""
    for path in snapshot.rglob("*"):
        if path.is_file():
            target = folder / path.relative_to(snapshot)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path.resolve(), target)
            except OSError:
                shutil.copyfile(path, target)
