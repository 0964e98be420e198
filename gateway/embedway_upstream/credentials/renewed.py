"""Who is told what became of a renewal, wherever it was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias, runtime_checkable

__all__ = ["Renewed", "Told", "untold"]

Told: TypeAlias = Callable[[bool], None]
"""Called in any thread, each time that what signs was asked for: whether it was had."""


def untold(_had: bool) -> None:
    """Nobody is told."""


@runtime_checkable
class Renewed(Protocol):
    """Credentials that are renewed."""

    told: Told
