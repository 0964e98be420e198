"""What a request asks of the limits, and what it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from embedway_gateway.quota.meter import Meter, Seats

__all__ = ["Demand", "Quota", "QuotaDown", "Verdict"]


class QuotaDown(Exception):
    """Nobody can tell whether the request is within its limits."""


@dataclass(frozen=True, slots=True)
class Demand:
    """All or nothing: so much of each meter, and one seat of each of those."""

    meters: tuple[Meter, ...]
    amounts: tuple[int, ...]
    seats: tuple[Seats, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it was admitted, and how the meters stand."""

    blocker: Meter | Seats | None
    """What stands in the way; None when it was admitted."""
    wait: float
    """Seconds until the meters would admit it; 0 where nobody knows."""
    resets: tuple[float, ...]
    """Of each meter, the seconds until it is full."""
    lease: str = ""
    """What was admitted is settled by this name."""


class Quota(Protocol):
    """Counts for one process, or for all that share it."""

    async def admit(self, demand: Demand) -> Verdict:
        """Take what is asked for, or nothing. Raises `QuotaDown`."""
        ...

    def settle(self, demand: Demand, verdict: Verdict, changes: Sequence[float]) -> None:
        """
        What was admitted has ended: its seats are free, and of each meter it took so much more, or
        less, than was thought.
        """
        ...

    def start(self) -> None:
        """Begin with what is done in the background."""
        ...

    async def close(self) -> None:
        """End that."""
        ...
