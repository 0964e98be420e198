"""Keeps usage in an SQLite file, which several processes may share."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from embedway_gateway.usage.book import BookUnavailable
from embedway_gateway.usage.row import COUNTS, Row

__all__ = ["SQLiteBook"]

# For those who write at the same moment.
_PATIENCE = 5.0

_TABLE = """
CREATE TABLE IF NOT EXISTS usage (
    day TEXT NOT NULL, key TEXT NOT NULL, model TEXT NOT NULL,
    requests INTEGER NOT NULL, texts INTEGER NOT NULL, tokens INTEGER NOT NULL,
    errors INTEGER NOT NULL, cached INTEGER NOT NULL, limited INTEGER NOT NULL,
    PRIMARY KEY (day, key, model)
) WITHOUT ROWID
"""
_ADD = (
    f"INSERT INTO usage VALUES (?, ?, ?{', ?' * len(COUNTS)}) ON CONFLICT DO UPDATE SET "  # noqa: S608
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in COUNTS)
)
_READ = "SELECT * FROM usage WHERE day >= ? AND day <= ? ORDER BY day, key, model"


class SQLiteBook:
    """
    A transaction a batch, with a write-ahead log: whoever is killed leaves whole batches behind.

    It runs in threads, one at a time. Whoever writes keeps the file open: the last to close it has
    SQLite empty the log and wait for the disk, twice, which takes up to half a second. What was
    written within the last half minute or so may be lost with the machine's power.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._turn = threading.Lock()
        self._kept: _Kept | None = None

    async def prepare(self) -> None:
        """Make the file, if it is not there."""
        await asyncio.to_thread(self._add, ())

    async def add(self, rows: Sequence[Row], *, batch: str) -> None:
        """Add them all, or none: a transaction that failed can be sent again."""
        await asyncio.to_thread(self._add, rows)

    async def read(self, *, since: date | None = None, until: date | None = None) -> list[Row]:
        """The rows of these days."""
        return await asyncio.to_thread(self._read, since, until)

    async def close(self) -> None:
        """Close the file."""
        await asyncio.to_thread(self._let_go)

    def _add(self, rows: Sequence[Row]) -> None:
        values = [
            (row.day, row.key, row.model, *(getattr(row, name) for name in COUNTS)) for row in rows
        ]
        with self._turn, _told(self.path):
            try:
                with self._open() as connection:
                    connection.executemany(_ADD, values)
            except (OSError, sqlite3.Error):
                # What is wrong with it may be over when it is opened again.
                self._drop()
                raise

    def _read(self, since: date | None, until: date | None) -> list[Row]:
        if not self.path.exists():
            raise BookUnavailable(f"{self.path}: there is no such file, no usage was kept there")
        bounds = (str(since or "0000"), str(until or "9999"))
        with _told(self.path), contextlib.closing(_connect(self.path)) as connection:
            return [Row(*values) for values in connection.execute(_READ, bounds)]

    def _open(self) -> sqlite3.Connection:
        """The file that is there now: somebody may have moved the one that we have away."""
        kept = self._kept
        if kept is None or kept.file != _file(self.path):
            self._drop()
            # Names of callers and models are nobody else's business.
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL, 0o600))
            connection = _connect(self.path)
            self._kept = kept = _Kept(connection, _file(self.path))
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(_TABLE)
        return kept.connection

    def _let_go(self) -> None:
        with self._turn:
            self._drop()

    def _drop(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            with contextlib.suppress(sqlite3.Error):
                kept.connection.close()


@dataclass(frozen=True, slots=True)
class _Kept:
    connection: sqlite3.Connection
    file: tuple[int, int] | None


def _connect(path: Path) -> sqlite3.Connection:
    # From any thread: it has its turn.
    return sqlite3.connect(path, timeout=_PATIENCE, check_same_thread=False)


def _file(path: Path) -> tuple[int, int] | None:
    """Which file is there."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BookUnavailable(f"{path}: {error.strerror}") from None
    except sqlite3.Error as error:
        raise BookUnavailable(f"{path}: {error}") from None
