"""Dice that show what they are told to."""

from __future__ import annotations

import random


class Dice(random.Random):
    """Throws `numbers` one after the other, and then the last one for ever."""

    def __init__(self, *numbers: float) -> None:
        super().__init__(0)
        self._numbers = list(numbers)

    def random(self) -> float:
        return self._numbers.pop(0) if len(self._numbers) > 1 else self._numbers[0]
