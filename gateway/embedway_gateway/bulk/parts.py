"""Keeps finished chunks beside the output, so that an interruption costs only what was running."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from embedway_gateway.bulk.error import OutputRefused
from embedway_gateway.bulk.lock import locked
from embedway_gateway.bulk.manifest import Manifest

__all__ = ["Mode", "Part", "Parts"]

Mode: TypeAlias = Literal["new", "resume", "overwrite"]

_MANIFEST = "manifest.json"
_LOCK = "lock"
_INCOMING = "incoming-"
# Number, rows and digest are in the name, so that one rename makes a part and all that is
# known about it.
_PART = re.compile(r"part-(\d{8,})-(\d+)-([0-9a-f]{32})\.[a-z]+")


@dataclass(frozen=True, slots=True)
class Part:
    """A finished chunk."""

    path: Path
    rows: int
    digest: str


class Parts:
    """
    The folder `OUT.parts`: a manifest and the finished chunks, by number.

    Every file in it appears whole, and is on the disk before its name is. Without a manifest it
    holds nothing of worth: the manifest is the first file written and the first removed.
    """

    def __init__(self, out: Path, manifest: Manifest) -> None:
        self.out = out
        self.folder = _folder(out)
        self.manifest = manifest
        self.finished: dict[int, Part] = {}

    @classmethod
    @contextmanager
    def open(cls, out: Path, manifest: Manifest, mode: Mode) -> Iterator[Parts]:
        """
        Begin an output, or go on with it.

        "new" raises `OutputRefused` when the output is there or half-made, "resume" `PartsDiffer`
        when what is there was begun otherwise; "overwrite" discards what was half-made, and
        `finish` will replace the output.
        """
        _require_place(out)
        parts = cls(out, manifest)
        with _writing(parts.folder):
            parts.folder.mkdir(exist_ok=True)
        try:
            with locked(parts.folder / _LOCK):
                with _writing(parts.folder):
                    parts._begin(mode)
                try:
                    yield parts
                finally:
                    parts._leave()
        finally:
            with suppress(OSError):  # it stays when something is in it
                parts.folder.rmdir()

    @property
    def rows(self) -> int:
        """How many rows are finished and on the disk."""
        return sum(part.rows for part in self._list().values())

    def keep(self, index: int, rows: int, digest: str, write: Callable[[Path], None]) -> None:
        """Let `write` make a part, and count it as finished once it is safely on the disk."""
        incoming = self.folder / f"{_INCOMING}{index:08d}"
        suffix = self.out.suffix.lower()
        path = self.folder / f"part-{index:08d}-{rows}-{digest}{suffix}"
        with _writing(self.folder):
            write(incoming)
            _settle(incoming, path)
        self.finished[index] = Part(path, rows, digest)

    def discard(self, indices: Iterable[int]) -> None:
        """Remove parts whose input is no longer what it was."""
        with _writing(self.folder):
            for index in indices:
                self.finished.pop(index).path.unlink(missing_ok=True)

    def note(self, manifest: Manifest) -> None:
        """Write down what has become known about the vectors."""
        incoming = self.folder / f"{_INCOMING}{_MANIFEST}"
        with _writing(self.folder):
            incoming.write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
            _settle(incoming, self.folder / _MANIFEST)
        self.manifest = manifest

    def finish(self, merge: Callable[[list[Path], Path], None]) -> None:
        """Let `merge` make the output of all parts; it replaces the old one; remove the parts."""
        incoming = self.folder / f"{_INCOMING}out"
        paths = [part.path for _, part in sorted(self.finished.items())]
        with _writing(self.out):
            merge(paths, incoming)
            _settle(incoming, self.out)
        self._clear()

    def _begin(self, mode: Mode) -> None:
        finished = self._list()
        begun = self._read() if finished else None
        if begun is not None and mode == "new":
            raise OutputRefused(
                f"{self.folder} holds what an interrupted run has finished; --resume goes on with "
                "it, --overwrite begins anew"
            )
        if begun is None and mode != "overwrite" and self.out.exists():
            raise OutputRefused(
                f"{self.out} is there already; --overwrite replaces it, or give another --out"
            )
        if begun is None or mode == "overwrite":
            self._clear()
            self.note(self.manifest)
            return
        begun.require_same(self.manifest, str(self.folder))
        self.manifest = begun
        for path in self.folder.glob(f"{_INCOMING}*"):
            path.unlink()
        self.finished = finished

    def _leave(self) -> None:
        with suppress(OSError):
            # The disk decides: an interruption may come between a part and our noting it.
            if not self._list() or not (self.folder / _MANIFEST).exists():
                self._clear()

    def _read(self) -> Manifest | None:
        try:
            return msgspec.json.decode((self.folder / _MANIFEST).read_bytes(), type=Manifest)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise OutputRefused(
                f"{self.folder / _MANIFEST} is not ours or of another version ({error}); "
                "move the folder away"
            ) from None

    def _list(self) -> dict[int, Part]:
        if not self.folder.is_dir():
            return {}
        matches = ((path, _PART.fullmatch(path.name)) for path in self.folder.iterdir())
        return {
            int(match[1]): Part(path, int(match[2]), match[3]) for path, match in matches if match
        }

    def _clear(self) -> None:
        """Remove our files, the manifest first; what somebody else put there stays."""
        (self.folder / _MANIFEST).unlink(missing_ok=True)
        for path in list(self.folder.iterdir()):
            if path.name.startswith(_INCOMING) or _PART.fullmatch(path.name):
                path.unlink()
        self.finished = {}


def _folder(out: Path) -> Path:
    return out.with_name(f"{out.name}.parts")


def _settle(incoming: Path, path: Path) -> None:
    """Rename when the bytes are on the disk, and wait until the name is too."""
    with incoming.open("rb+") as file:
        os.fsync(file.fileno())
    incoming.replace(path)
    if os.name == "posix":
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _require_place(out: Path) -> None:
    if out.is_dir():
        raise OutputRefused(f"{out} is a folder; name a file in it")
    if not out.parent.is_dir():
        raise OutputRefused(f"{out.parent}: there is no such folder; make it first")


@contextmanager
def _writing(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputRefused(
            f"{place}: cannot be written ({error.strerror or error}); what is finished is kept: "
            "when the cause is removed, run again with --resume"
        ) from error
