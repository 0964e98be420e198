"""Spreads calls over several cards, each of which holds the whole model."""

from __future__ import annotations

from collections.abc import Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING

from embedway_local.gpu.bound import CALLERS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embedway_local.gpu.compute import Compute

__all__ = ["Cards"]


class Cards:
    """The same model on several cards; a call goes to the card that has room first."""

    def __init__(self, cards: Sequence[Compute]) -> None:
        self.dimensions: int = cards[0].dimensions
        self._free: SimpleQueue[Compute] = SimpleQueue()
        # In turns, so that two calls go to two cards.
        for _ in range(CALLERS):
            for card in cards:
                self._free.put(card)

    def run(self, ids: Sequence[Sequence[int]], /) -> NDArray[np.float32]:
        """One vector for each list of token ids."""
        card = self._free.get()
        try:
            return card.run(ids)
        finally:
            self._free.put(card)
