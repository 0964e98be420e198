"""One upstream as routing sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from embedway_gateway.layers.breaker import Breaker
from embedway_gateway.layers.capacity import Capacity
from embedway_gateway.layers.latency import PeakEWMA
from embedway_gateway.layers.pace import Pace
from embedway_upstream import Service

__all__ = ["Target"]

Request = TypeVar("Request")
Reply = TypeVar("Reply")

# What an upstream that has not answered yet is thought to take while it is being asked.
_UNKNOWN_SECONDS = 1.0


def _unlimited() -> int:
    return 1 << 16


def _always() -> bool:
    return True


def _none() -> int:
    return 0


@dataclass(slots=True, eq=False)
class Target(Generic[Request, Reply]):
    """What is known of an upstream, and whether it may be chosen."""

    name: str
    service: Service[Request, Reply]
    priority: int = 0
    weight: float = 1.0
    capacity: Capacity = field(default_factory=Capacity)
    pace: Pace | None = None
    """Where it shares one with others, and pauses with them."""
    slots: Callable[[], int] = _unlimited
    """How many calls it takes at once now."""
    queueing: Callable[[], int] = _none
    """In how many of them it only waits there."""
    ready: Callable[[], bool] = _always
    """Whether a request would be sent at all, and not be refused by ourselves."""
    breaker: Breaker = field(default_factory=Breaker)
    latency: PeakEWMA = field(default_factory=PeakEWMA)
    in_flight: int = 0
    patient_until: float = 0.0
    """It asked for patience."""

    def paused(self, now: float) -> bool:
        """Whether it would be refused without being called."""
        return self.pace is not None and self.pace.paused_until > now

    def awake(self, now: float) -> bool:
        """Whether nothing speaks against calling it."""
        return (
            self.patient_until <= now
            and self.breaker.may_pass(now)
            and (self.pace is None or self.pace.paused_until <= now)
            and self.ready()
        )

    def wakes(self) -> float:
        """When nothing will speak against it any more, as far as it is known."""
        return max(self.patient_until, self.breaker.open_until or 0.0)

    def is_free(self) -> bool:
        """Whether one more call would not wait for a slot."""
        return self.in_flight < self.slots()

    def cost(self, now: float, *, least: float, floor: float) -> float:
        """
        Seconds that one more request would wait for what is there (Finagle). Of twice the `least`
        weight, twice as many calls are expected. That it takes less than `floor` nobody knows:
        idleness only makes it forget.
        """
        if self.in_flight:
            # Not forgotten while somebody waits: what hangs does not get quicker by it.
            seconds = self.latency.last or _UNKNOWN_SECONDS
            return seconds * max(1.0, (self.in_flight + 1) * least / self.weight)
        return max(floor, self.latency.seconds(now))

    def leave(self) -> None:
        """One request fewer is with it."""
        self.in_flight -= 1
