"""Counts in the memory of one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from embedway_gateway.quota.meter import Meter, Seats, admits, charged, corrected
from embedway_gateway.quota.quota import Demand, Verdict

__all__ = ["LocalQuota"]

# So many meters are kept without a look at which of them are full again.
_MANY = 4096


class LocalQuota:
    """Whoever shares the object shares the limits."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_at: dict[str, float] = {}
        self._taken: dict[str, int] = {}
        self._look_at = _MANY

    async def admit(self, demand: Demand) -> Verdict:
        """Take what is asked for, or nothing."""
        return self.admit_now(demand)

    def admit_now(self, demand: Demand) -> Verdict:
        """The same, for those who do not wait."""
        now = self._clock()
        full = [max(now, self._full_at.get(meter.name, now)) for meter in demand.meters]
        blocker, wait = self._blocker(demand, full, now)
        if blocker is not None:
            return Verdict(blocker, wait, tuple(at - now for at in full))
        resets = []
        for meter, amount, at in zip(demand.meters, demand.amounts, full, strict=True):
            after = charged(meter, amount, full_at=at, now=now)
            self._full_at[meter.name] = after
            resets.append(after - now)
        for seats in demand.seats:
            self._taken[seats.name] = self._taken.get(seats.name, 0) + 1
        if len(self._full_at) > self._look_at:
            self._forget(now)
        return Verdict(None, 0.0, tuple(resets))

    def settle(self, demand: Demand, verdict: Verdict, changes: Sequence[float]) -> None:
        """Correct the meters, and free the seats."""
        now = self._clock()
        for meter, change in zip(demand.meters, changes, strict=True):
            if change:
                at = self._full_at.get(meter.name, now)
                self._full_at[meter.name] = corrected(meter, change, full_at=at, now=now)
        for seats in demand.seats:
            left = self._taken.get(seats.name, 1) - 1
            if left > 0:
                self._taken[seats.name] = left
            else:
                self._taken.pop(seats.name, None)

    def start(self) -> None:
        """Nothing is done in the background."""

    async def close(self) -> None:
        """Nothing to end."""

    def _blocker(
        self, demand: Demand, full: Sequence[float], now: float
    ) -> tuple[Meter | Seats | None, float]:
        blocker: Meter | Seats | None = None
        longest = 0.0
        for meter, amount, at in zip(demand.meters, demand.amounts, full, strict=True):
            wait = admits(meter, amount, full_at=at, now=now)
            if wait > longest:
                blocker, longest = meter, wait
        if blocker is None:
            for seats in demand.seats:
                if self._taken.get(seats.name, 0) >= seats.most:
                    return seats, 0.0
        return blocker, longest

    def _forget(self, now: float) -> None:
        """A full meter is like one that was never used."""
        self._full_at = {name: at for name, at in self._full_at.items() if at > now}
        self._look_at = max(_MANY, 2 * len(self._full_at))
