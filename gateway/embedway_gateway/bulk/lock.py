"""Keeps two runs apart: a lock file that the system releases when its process dies, however."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from embedway_gateway.bulk.error import OutputRefused

__all__ = ["locked"]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """
    Hold the lock `path`, and remove it afterwards. Raises `OutputRefused` when it is held, or
    cannot be made.
    """
    try:
        handle = _open(path)
    except OSError as error:
        raise OutputRefused(
            f"{path}: cannot be locked ({error.strerror or error}); make {path.parent} a folder "
            "that is yours to write, or give an --out on a file system that has locks"
        ) from error
    try:
        # Only told to others; a full disk fails where something is to be kept.
        with suppress(OSError):
            os.truncate(path, 0)
            os.write(handle, f"{os.getpid()}\n".encode())
        yield
    finally:
        # Removed while it is still held: whoever opened it meanwhile sees that it is gone.
        # Windows removes no open file; there it is done afterwards, and fails if it is open again.
        with suppress(OSError):
            path.unlink()
        os.close(handle)
        with suppress(OSError):
            if sys.platform == "win32":
                path.unlink()


def _open(path: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(handle)
            if path.exists() and path.stat().st_ino == os.fstat(handle).st_ino:
                return handle
        except BlockingIOError:
            holder = _holder(path)
            os.close(handle)
            raise OutputRefused(
                f"another run is writing to {path.parent} (process {holder}); "
                "wait for it, or give another --out"
            ) from None
        except OSError:
            os.close(handle)
            raise
        # The holder removed it between our opening and our locking.
        os.close(handle)


def _holder(path: Path) -> str:
    try:
        return path.read_text("ascii", errors="replace").strip() or "unknown"
    except FileNotFoundError:
        return "unknown"


if sys.platform == "win32":

    def _lock(handle: int) -> None:
        import msvcrt

        try:
            # One byte far behind the text, because Windows also keeps others from reading it.
            os.lseek(handle, 1024, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            os.lseek(handle, 0, os.SEEK_SET)
        except OSError as error:
            raise BlockingIOError from error

else:

    def _lock(handle: int) -> None:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
