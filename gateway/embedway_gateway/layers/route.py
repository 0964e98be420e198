"""Chooses the upstream for an attempt: the best priority that is well, the least busy in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from embedway_upstream import EmbeddingError, RateLimited, Service, UpstreamError

__all__ = ["Route", "Target"]

Request = TypeVar("Request")
Reply = TypeVar("Reply")

# How long an upstream rests after its first failure, and at most.
_REST = 1.0
_LONGEST_REST = 30.0


@dataclass(slots=True, eq=False)
class Target(Generic[Request, Reply]):
    """One upstream, and what routing knows of it."""

    name: str
    service: Service[Request, Reply]
    priority: int = 0
    weight: float = 1.0
    in_flight: int = 0
    chosen: int = 0
    failures: int = 0
    resting_until: float = 0.0


class Route(Generic[Request, Reply]):
    """
    Sends each attempt to one target.

    A target that failed rests, twice as long after each failure in a row, so that a second
    attempt lands elsewhere. When all rest, the one of the best priority that wakes first is asked.
    """

    def __init__(
        self,
        targets: Sequence[Target[Request, Reply]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._targets = sorted(targets, key=lambda target: target.priority)
        self._clock = clock

    @property
    def targets(self) -> Sequence[Target[Request, Reply]]:
        """All targets, best priority first."""
        return self._targets

    async def send(self, request: Request) -> Reply:
        """One attempt at the chosen target."""
        target = self.choose()
        target.in_flight += 1
        try:
            reply = await target.service.send(request)
        except RateLimited as error:
            rest = min(error.retry_after or _REST, _LONGEST_REST)
            target.resting_until = max(target.resting_until, self._clock() + rest)
            self._forget_wait(error)
            raise
        except UpstreamError as error:
            self._failed(target)
            self._forget_wait(error)
            raise
        else:
            target.failures = 0
            return reply
        finally:
            target.in_flight -= 1

    def choose(self) -> Target[Request, Reply]:
        """The target for the next attempt."""
        now = self._clock()
        awake = [target for target in self._targets if target.resting_until <= now]
        if not awake:
            return min(self._targets, key=lambda target: (target.priority, target.resting_until))
        best = awake[0].priority
        same = [target for target in awake if target.priority == best]
        chosen = min(same, key=lambda one: (one.in_flight / one.weight, one.chosen / one.weight))
        chosen.chosen += 1
        return chosen

    def _forget_wait(self, error: EmbeddingError) -> None:
        """The wait that one upstream asks for is not the request's while another is awake."""
        if any(target.resting_until <= self._clock() for target in self._targets):
            error.retry_after = None

    def _failed(self, target: Target[Request, Reply]) -> None:
        if target.resting_until > self._clock():
            # Calls that ran together fail together: that is one failure, not many in a row.
            return
        rest = min(_LONGEST_REST, _REST * 2.0 ** min(target.failures, 10))
        target.failures += 1
        target.resting_until = self._clock() + rest
