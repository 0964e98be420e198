"""Writes files and folders so that nobody ever sees half of one, and digests them."""

from __future__ import annotations

import glob
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from embedway_local.error import LocalError

__all__ = ["alone", "aside", "digest", "known_digest", "write_text"]

_log = logging.getLogger("embedway.local")

# How many characters `tempfile` adds to a prefix.
_ADDED = 8


@contextmanager
def alone(target: Path) -> Iterator[None]:
    """
    Make `target` while no other thread or process does; the later ones wait here.

    Raises `LocalError` when its folder cannot be written.
    """
    with _writing(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.with_name(f".{target.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _log.info("waiting for another process that makes %s", target)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def aside(target: Path) -> Iterator[Path]:
    """
    A fresh folder beside `target`, put in its place when the block ends well, and else removed.

    To be used inside `alone(target)`. What a killed process left behind is removed first.
    """
    prefix = f".incoming-{target.name}-"
    with _writing(target.parent):
        # Exactly as long: another target, in the making now, may have a name that begins like ours.
        for leftover in target.parent.glob(f"{glob.escape(prefix)}{'?' * _ADDED}"):
            shutil.rmtree(leftover, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    try:
        yield work
        with _writing(target.parent):
            work.chmod(0o755)
            if target.exists():
                shutil.rmtree(target)
            work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LocalError(
            f"cannot write to {folder} ({error.strerror or error}); "
            "set EMBEDWAY_HOME to a folder that can be written"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a small file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".incoming-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        # `mkstemp` lets nobody else read it; a store may serve several users.
        Path(name).chmod(0o644)
        Path(name).replace(path)
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
    note = home / "digests" / hashlib.sha256(facts.encode("utf-8", "surrogateescape")).hexdigest()
    with suppress(OSError):
        return note.read_text("ascii")
    value = digest(path)
    # A store that is only readable, as in a container's image, costs a digest a start: 0.1 s.
    with suppress(OSError):
        write_text(note, value)
    return value
