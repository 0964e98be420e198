"""What a place that keeps usage can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Protocol

from embedway_gateway.usage.row import Row

__all__ = ["Book", "BookUnavailable"]


class BookUnavailable(Exception):
    """It cannot be read or written now; the message may be told."""


class Book(Protocol):
    """Usage by caller, model and day, of all processes that write to it."""

    async def prepare(self) -> None:
        """Make what is not there yet. Raises `BookUnavailable`."""
        ...

    async def add(self, rows: Sequence[Row], *, batch: str) -> None:
        """
        Add all of them, or none and raise `BookUnavailable`. A batch of the same name is added
        once, however often it is sent.
        """
        ...

    async def read(self, *, since: date | None = None, until: date | None = None) -> list[Row]:
        """The rows of these days, both included. Raises `BookUnavailable`."""
        ...

    async def close(self) -> None:
        """Let go of what is open."""
        ...
