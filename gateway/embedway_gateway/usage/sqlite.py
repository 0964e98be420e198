"""Keeps usage in an SQLite file, which several processes may share."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
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
    It runs in threads, and opens the file each time, which takes 0.2 ms; nothing is kept open that
    a second process, a fork or a file system might mind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

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
        """Nothing is open."""

    def _add(self, rows: Sequence[Row]) -> None:
        values = [
            (row.day, row.key, row.model, *(getattr(row, name) for name in COUNTS)) for row in rows
        ]
        with self._open() as connection:
            connection.execute(_TABLE)
            connection.executemany(_ADD, values)

    def _read(self, since: date | None, until: date | None) -> list[Row]:
        if not self.path.exists():
            raise BookUnavailable(f"{self.path}: there is no such file, no usage was kept there")
        bounds = (str(since or "0000"), str(until or "9999"))
        with self._open() as connection:
            return [Row(*values) for values in connection.execute(_READ, bounds)]

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """One transaction."""
        try:
            # Names of callers and models are nobody else's business.
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL, 0o600))
            connection = sqlite3.connect(self.path, timeout=_PATIENCE)
            with contextlib.closing(connection), connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                yield connection
        except OSError as error:
            raise BookUnavailable(f"{self.path}: {error.strerror}") from None
        except sqlite3.Error as error:
            raise BookUnavailable(f"{self.path}: {error}") from None
