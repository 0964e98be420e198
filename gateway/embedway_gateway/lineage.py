"""Remembers what the names of found models meant, through the time in which nobody has them."""

from __future__ import annotations

from collections.abc import Iterable

from embedway_gateway.declaration import declared
from embedway_gateway.model import Model

__all__ = ["Lineage"]

# Each is a stack at rest and eight vectors.
_MOST = 1000


class Lineage:
    """
    The last model of each declaration, at most `most` of them; the longest unused go first.

    A deployment may be deleted and made anew under the same name, with another model in it: the
    new one is compared with the old one's vectors, so that the fingerprint changes when they do.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._kept: dict[str, Model] = {}

    def keep(self, models: Iterable[Model]) -> None:
        """These are served now."""
        for model in models:
            if model.reference is not None:
                key = declared(model.config)
                self._kept.pop(key, None)
                self._kept[key] = model
        while len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]

    def hand_on(self, model: Model) -> None:
        """Let a new model go on with the space of the last one of its name and size."""
        before = self._kept.get(declared(model.config))
        if before is not None:
            model.inherit(before)
