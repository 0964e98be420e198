"""Tells one vector space that a model's name meant from another."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Mark", "Spaces"]


@dataclass(frozen=True, slots=True)
class Mark:
    """Part of the fingerprint."""

    origin: str = ""
    """
    The upstream that defined the space, where that was not the first in order; of a model that was
    found, the identity of the deployment that did, whichever it was.
    """
    changes: int = 0
    """How often the upstream that defines it was seen to serve another model."""


class Spaces:
    """Numbers the spaces that each deployment was seen to have while the model had them, from 0."""

    def __init__(self) -> None:
        self._now = 0
        self._numbers: dict[str, tuple[int, int]] = {}

    def inherit(self, other: Spaces) -> None:
        """Go on counting."""
        self._now, self._numbers = other._now, dict(other._numbers)

    def change(self) -> None:
        """The model has another space from now on."""
        self._now += 1

    def number(self, identity: str) -> int:
        """The number of the model's space, which the deployment was seen to have just now."""
        space, number = self._numbers.get(identity, (self._now, 0))
        if space != self._now:
            number += 1
        self._numbers[identity] = self._now, number
        return number
