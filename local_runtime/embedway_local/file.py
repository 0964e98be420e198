"""Writes files and folders so that nobody ever sees half of one, and digests them."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedway_local.error import LocalError

__all__ = ["aside", "digest", "known_digest", "write_text"]


@contextmanager
def aside(target: Path) -> Iterator[Path]:
    """
    A fresh folder beside `target`, renamed to it when the block ends well and removed otherwise.

    When another process has made `target` meanwhile, theirs stays and ours is removed.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".incoming-", dir=target.parent))
    except OSError as error:
        raise LocalError(
            f"cannot write to {target.parent} ({error.strerror}); "
            "set EMBEDWAY_HOME to a folder that can be written"
        ) from error
    try:
        yield work
        work.chmod(0o755)
        _rename(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _rename(work: Path, target: Path) -> None:
    try:
        work.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def write_text(path: Path, text: str) -> None:
    """Write a small file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".incoming-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def digest(path: Path) -> str:
    """The file's SHA-256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known_digest(path: Path, home: Path) -> str:
    """The file's SHA-256, remembered under `home` for as long as its size and time stay."""
    status = path.stat()
    facts = f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ino}"
    note = home / "digests" / hashlib.sha256(facts.encode()).hexdigest()
    if note.is_file():
        return note.read_text("ascii")
    value = digest(path)
    write_text(note, value)
    return value
