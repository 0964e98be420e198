"""How it is told how far something is; whoever calls decides where that is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

__all__ = ["Report", "Silent"]


class Report(Protocol):
    """Told what is done, as it is done."""

    def say(self, message: str) -> None:
        """One thing that happened."""
        ...

    def progress(
        self, title: str, *, total: int | None = None, unit: str = "bytes"
    ) -> AbstractContextManager[Callable[[int, str], None]]:
        """While the block runs: to be called with how much is done, and words on the state."""
        ...


class Silent:
    """A report that nobody reads."""

    def say(self, message: str) -> None:
        """Say nothing."""

    @contextmanager
    def progress(
        self, title: str, *, total: int | None = None, unit: str = "bytes"
    ) -> Iterator[Callable[[int, str], None]]:
        """Show nothing."""
        yield lambda _done, _words: None
