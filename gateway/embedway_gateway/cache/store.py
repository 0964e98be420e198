"""What a place that keeps vectors can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

__all__ = ["Notes", "Store", "Unavailable"]


class Unavailable(Exception):
    """The store does not answer now."""


class Notes(Protocol):
    """A few values that are read and exchanged one by one; each call raises `Unavailable`."""

    async def read(self, key: bytes) -> bytes | None:
        """The value, which then stays for longer than any entry does."""
        ...

    async def exchange(self, key: bytes, old: bytes | None, new: bytes) -> bool:
        """Set the value, if it is still the old one: whether it was."""
        ...


class Store(Protocol):
    """
    Values by their digests. It never raises: what it cannot give is not there, what it cannot take
    is dropped.
    """

    @property
    def notes(self) -> Notes:
        """Kept beside the values, and lost no later than they are."""
        ...

    async def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values, in the order of the keys."""
        ...

    def put(self, entries: Sequence[tuple[bytes, bytes]]) -> None:
        """Keep these; returns at once."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
