"""A clock that only moves when it is told to, or when somebody sleeps."""

from __future__ import annotations


class Time:
    """Calling it tells the time; `slept` holds what was slept."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
