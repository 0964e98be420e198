"""Keeps models under `EMBEDWAY_HOME`, each with a manifest of what it is and where it came from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from embedway_local.catalogue import known
from embedway_local.error import ModelCorrupt, ModelNotFound
from embedway_local.file import alone, aside, digest, write_text
from embedway_local.setting import read_settings

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Manifest", "Store"]

_MANIFEST = "embedway.json"
# Without it a folder is no model, whatever else is in it.
_CONFIG = "config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a stored model is: its name, the commit it was taken from, and its files' SHA-256."""

    model: str
    revision: str
    source: str
    files: dict[str, str] = field(default_factory=dict)


class Store:
    """
    Models on this machine, one folder each.

    A folder appears whole or not at all; what is in it was digested when it came.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._models = home / "models"

    def folder(self, model: str) -> Path:
        """Where the model is, or would be."""
        return self._models / model.replace("/", "--")

    def partial(self, model: str) -> Path:
        """Where an interrupted download of the model is kept, to be resumed."""
        return self.home / "partial" / model.replace("/", "--")

    def has(self, model: str) -> bool:
        """Is the model here?"""
        return (self.folder(model) / _MANIFEST).is_file()

    def manifest(self, model: str) -> Manifest:
        """The manifest of a model; raises `ModelNotFound` when it is not here."""
        if not self.has(model):
            raise ModelNotFound(
                f"{model} is not in {self.home}; `embedway models pull {model}` brings it there"
            )
        return _read(self.folder(model))

    def models(self) -> list[Manifest]:
        """All models that are here, by name."""
        if not self._models.is_dir():
            return []
        folders = (path for path in self._models.iterdir() if (path / _MANIFEST).is_file())
        return sorted((_read(folder) for folder in folders), key=lambda item: item.model)

    def alone(self, model: str) -> AbstractContextManager[None]:
        """Hold this around `receive`: other threads and processes that want the model wait."""
        return alone(self.folder(model))

    @contextmanager
    def receive(self, model: str, *, source: str) -> Iterator[_Arrival]:
        """
        A folder to put the model's files into; it replaces the model's folder at the end.

        When the block ends, files of a known model are held against their pinned digests, and any
        model must have a config.json; else `ModelCorrupt` is raised. After an error nothing is left
        behind, and what was here before stays.
        """
        with aside(self.folder(model)) as folder:
            arrival = _Arrival(folder)
            yield arrival
            files = {
                path.relative_to(folder).as_posix(): digest(path)
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            }
            _hold_against_pins(model, files, source)
            if _CONFIG not in files:
                raise ModelCorrupt(f"{model} from {source}: {_CONFIG} is missing; nothing was kept")
            manifest = Manifest(model=model, revision=arrival.revision, source=source, files=files)
            write_text(folder / _MANIFEST, json.dumps(asdict(manifest), indent=2) + "\n")
        shutil.rmtree(self.partial(model), ignore_errors=True)

    def verify(self, model: str) -> list[str]:
        """
        Digest every file again; returns a sentence for each that is wrong.

        Raises `ModelNotFound` when the model is not here.
        """
        folder = self.folder(model)
        wanted = dict(self.manifest(model).files)
        listed = known(model)
        if listed is not None and listed.pin is not None:
            wanted.update(listed.pin.files)
        problems = [] if _CONFIG in wanted else [f"{_CONFIG} is missing"]
        for name, expected in sorted(wanted.items()):
            path = folder / name
            if not path.is_file():
                problems.append(f"{name} is missing")
            elif (found := digest(path)) != expected:
                problems.append(f"{name} has SHA-256 {found}, expected {expected}")
        return problems

    def remove(self, model: str) -> None:
        """Forget a model, and what was downloaded of it."""
        with self.alone(model):
            shutil.rmtree(self.folder(model), ignore_errors=True)
            shutil.rmtree(self.partial(model), ignore_errors=True)


class _Arrival:
    """A model being received: where its files go, and the revision they turn out to be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.revision = "unknown"


def _hold_against_pins(model: str, files: dict[str, str], source: str) -> None:
    listed = known(model)
    if listed is None or listed.pin is None:
        return
    for name, expected in listed.pin.files.items():
        found = files.get(name)
        if found is None:
            raise ModelCorrupt(f"{model} from {source}: {name} is missing; nothing was kept")
        if found != expected:
            raise ModelCorrupt(
                f"{model} from {source}: {name} has SHA-256 {found}, but the published file has "
                f"{expected}; nothing was kept. Try again, or from another network: this one, or "
                "a mirror (HF_ENDPOINT), serves another file"
            )


def _read(folder: Path) -> Manifest:
    settings = read_settings(folder / _MANIFEST)
    return Manifest(
        model=settings.text("model"),
        revision=settings.text("revision"),
        source=settings.text("source"),
        files=settings.texts("files"),
    )
