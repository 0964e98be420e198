"""Which files a plan is made of: their sizes and digests, and whether they are still the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field

from embedway_gateway.config.strict import Strict

__all__ = ["File", "Files", "list_files"]

_SHA256 = r"^[0-9a-f]{64}$"


def _inside(path: str) -> str:
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts:
        raise ValueError(f"{path!r} is not a path inside of the folder")
    return path


class File(Strict):
    """One file; its path is relative to the folder, with slashes."""

    path: Annotated[str, AfterValidator(_inside)]
    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=_SHA256)]


class Files(Strict):
    """A folder on this machine, and what is in it."""

    folder: str
    files: tuple[File, ...] = Field(min_length=1)

    @property
    def bytes(self) -> int:
        """Of all of them."""
        return sum(file.bytes for file in self.files)

    @property
    def digest(self) -> str:
        """Of names and contents, wherever the folder is."""
        lines = (f"{file.path}\0{file.sha256}\n" for file in self.files)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def changed(self) -> list[str]:
        """A sentence for each file that is not what it was when the plan was made."""
        found = []
        for file in self.files:
            path = Path(self.folder) / file.path
            if not path.is_file():
                found.append(f"{path} is missing; make the plan again")
            elif path.stat().st_size != file.bytes or _digest(path) != file.sha256:
                found.append(f"{path} was changed since the plan was made; make it again")
        return found


def list_files(folder: Path, paths: Iterable[Path] | None = None) -> Files:
    """The folder's files, sorted by name; or those of them that are named."""
    chosen = sorted(folder.rglob("*") if paths is None else paths)
    files = tuple(
        File(
            path=path.relative_to(folder).as_posix(),
            bytes=path.stat().st_size,
            sha256=_digest(path),
        )
        for path in chosen
        if path.is_file()
    )
    return Files(folder=str(folder), files=files)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
