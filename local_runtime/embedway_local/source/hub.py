"""Downloads models from the Hugging Face hub."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from embedway_local.custom import custom_class
from embedway_local.error import ModelCorrupt, ModelNotFound
from embedway_local.file import digest
from embedway_local.graph.outside import outside_names
from embedway_local.sentence import SENTENCE_FILES
from embedway_local.setting import read_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from embedway_local.catalogue import Pin

__all__ = ["download"]

_PROBE_SECONDS = 5.0

# What runs a model, of all that a repository may hold. Weights come on top.
_SETTINGS = (
    "config.json",
    "config_sentence_transformers.json",
    "modules.json",
    *SENTENCE_FILES,
    "tokenizer.json",
    "tokenizer_config.json",
    "*_Pooling/config.json",
)
_SAFETENSORS = ("model.safetensors", "model-*.safetensors", "model.safetensors.index.json")
_ONNX = ("onnx/model.onnx", "model.onnx")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
# A name of the hub's becomes a path of ours, which must not lead out of the model's folder.
_INSIDE = re.compile(r"(?!.*\.\.)\w[\w.-]*(/\w[\w.-]*)*", re.ASCII)


def download(
    model: str, pin: Pin | None, folder: Path, *, partial: Path, buildable: frozenset[str]
) -> str:
    """
    Download into `folder`, with a progress bar on stderr; returns the commit.

    A file is written under `partial` and moved when it is whole; an interrupted one is resumed
    from there. `buildable` are the architectures that need no ONNX export. Honours HF_ENDPOINT,
    HF_TOKEN and HF_HUB_OFFLINE. Raises `ModelNotFound` with the reason when the hub cannot be
    reached or has no such model, `ModelCorrupt` when a file is not the one the hub announced.
    """
    try:
        _require_reachable()
        if pin is not None:
            for name in pin.files:
                _fetch(model, pin.revision, name, folder, partial)
            return pin.revision
        return _download_current(model, folder, partial, buildable)
    except _failures() as error:
        raise ModelNotFound(_reason(model, error)) from error


def _download_current(model: str, folder: Path, partial: Path, buildable: frozenset[str]) -> str:
    from huggingface_hub import HfApi

    about = HfApi().model_info(model)
    commit = str(about.sha)
    if not _COMMIT.fullmatch(commit):
        raise ModelNotFound(f"the hub names {commit[:99]!r} as its commit, which is none")
    names = [item.rfilename for item in about.siblings or []]
    for name in _matching(names, _SETTINGS):
        _fetch(model, commit, name, folder, partial)
    config = read_settings(folder / "config.json")
    built = config.text("model_type", default="") in buildable and custom_class(config) is None
    safetensors = list(_matching(names, _SAFETENSORS))
    onnx = [name for name in _ONNX if name in names][:1]
    weights = safetensors if safetensors and (built or not onnx) else onnx
    if not weights:
        raise ModelNotFound("it has neither model.safetensors nor onnx/model.onnx")
    for name in weights:
        _fetch(model, commit, name, folder, partial)
    if weights is onnx:
        # The model itself names the files that its larger tensors are in.
        for data in outside_names(folder / onnx[0]):
            name = str(PurePosixPath(onnx[0]).parent / data)
            if name not in names:
                raise ModelNotFound(f"{onnx[0]} has tensors in {data}, which the hub does not have")
            _fetch(model, commit, name, folder, partial)
    return commit


def _matching(names: list[str], patterns: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        if _INSIDE.fullmatch(name) and any(fnmatchcase(name, pattern) for pattern in patterns):
            yield name


def _fetch(model: str, commit: str, name: str, folder: Path, partial: Path) -> None:
    """
    Download one file, from where an interrupted download of it ended.

    Ours, because `hf_hub_download` begins again since huggingface_hub 1.19
    (https://github.com/huggingface/huggingface_hub/pull/4228).
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    url = hf_hub_url(model, name, revision=commit)
    about = get_hf_file_metadata(url)
    headers = build_hf_headers()
    if urlsplit(about.location).netloc != urlsplit(url).netloc:
        # The files' own host, whose addresses are signed, must not see the token.
        headers.pop("authorization", None)
    part = partial / commit / name
    part.parent.mkdir(parents=True, exist_ok=True)
    if part.is_file() and about.size is not None and part.stat().st_size > about.size:
        part.unlink()
    with part.open("ab") as file:
        http_get(
            about.location,
            file,
            resume_size=file.tell(),
            headers=headers,
            expected_size=about.size,
            displayed_filename=name,
        )
    # The hub's tag of a large file is its SHA-256.
    if _SHA256.fullmatch(about.etag or "") and digest(part) != about.etag:
        part.unlink()
        raise ModelCorrupt(f"{name} came damaged from the hub; nothing was kept. Try again")
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    part.replace(target)


def _require_reachable() -> None:
    """Ask once, because the hub's client asks for half a minute before it gives up."""
    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

    if HF_HUB_OFFLINE:
        raise ModelNotFound("not asked, because HF_HUB_OFFLINE is set")
    try:
        get_session().head(ENDPOINT, timeout=_PROBE_SECONDS)
    except _failures() as error:
        raise ModelNotFound(f"{ENDPOINT} cannot be reached ({error})") from error


def _failures() -> tuple[type[Exception], ...]:
    """
    What the hub's client raises.

    Its HTTP library was requests, then httpx, then httpx2; the error's first base is that
    library's root (requests' own is an `OSError`).
    """
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    return (HfHubHTTPError.__bases__[0], HFValidationError, OSError)


def _reason(model: str, error: Exception) -> str:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        return "its authors give it to those who accept their terms there; then set HF_TOKEN"
    if isinstance(error, RepositoryNotFoundError):
        return f"it has no {model}, or it is private and HF_TOKEN does not open it"
    return next(iter(str(error).splitlines()), type(error).__name__)
