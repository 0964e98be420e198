"""Chooses the upstream for an attempt: of the best priority that is well, the least busy."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Generic, Protocol, TypeVar

from embedway_gateway.layers.bound import Bounds
from embedway_gateway.layers.ending import at_end
from embedway_gateway.layers.target import Target
from embedway_upstream import (
    BadVector,
    InvalidRequest,
    RateLimited,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
    WrongSpace,
)
from embedway_upstream.trail import Trail

__all__ = ["Route", "Target"]


class _Tried(Protocol):
    @property
    def trail(self) -> Trail | None: ...


Request = TypeVar("Request", bound=_Tried)
Reply = TypeVar("Reply")

# How long an upstream that asks for patience without saying how much is left alone, and at most.
_REST = 1.0
_LONGEST_REST = 30.0
# Costs that differ by less are one: weights then decide.
_NOTICEABLE = 0.75


class Route(Generic[Request, Reply]):
    """
    Sends each attempt to one target: of two that are drawn by weight, the one whose requests wait
    less (power of two choices; Mitzenmacher 2001), and none that the request has been sent to
    before while there is another.

    Five failures in a row open a target's breaker, or a single one to connect; that another target
    answered first is a failure too (see `Hedge`). Where all are open, the one that wakes first is
    asked all the same: breakers choose between upstreams, they do not add an outage of their own.
    A tenancy that pauses is not called before the pause ends, whatever the others do.
    """

    def __init__(
        self,
        targets: Sequence[Target[Request, Reply]],
        *,
        clock: Callable[[], float] = time.monotonic,
        dice: random.Random | None = None,
    ) -> None:
        self._targets = sorted(targets, key=lambda target: target.priority)
        self._clock = clock
        self._dice = dice or random.Random()  # noqa: S311 – a choice, not a secret
        self._least = min(target.weight for target in targets)
        self._even = all(target.weight == self._least for target in targets)

    @property
    def targets(self) -> Sequence[Target[Request, Reply]]:
        """All targets, best priority first."""
        return self._targets

    async def send(self, request: Request) -> Reply:
        """One attempt at the chosen target."""
        begun = self._clock()
        trail = request.trail
        target = self._targets[0] if len(self._targets) == 1 else self._choose(begun, trail)
        if target.pace is not None:
            target.pace.require_awake()
        if trail is not None:
            trail.upstreams.append(target.name)
        probe = target.breaker.passed(begun)
        target.in_flight += 1
        try:
            reply = await target.service.send(request)
        except BaseException as error:
            target.leave()
            self._judge(target, trail, error, begun, probe)
            raise
        at_end(reply, target.leave)
        target.breaker.answered(begun)
        now = self._clock()
        target.latency.observe(now - begun, now)
        return reply

    def slots(self) -> int:
        """How many calls those that would be chosen now take at once."""
        if len(self._targets) == 1:
            return self._targets[0].slots()
        same = self._candidates(self._clock())
        return sum(target.slots() for target in same) or 1

    def queueing(self) -> int:
        """In how many of those a call only waits at the upstream."""
        if len(self._targets) == 1:
            return self._targets[0].queueing()
        return sum(target.queueing() for target in self._candidates(self._clock()))

    def bounds(self) -> Bounds:
        """
        What a request may hold: what each target takes, for any may be the next, and what those
        that would be chosen now were seen to do. A target that is ill does not cut the others'.
        """
        if len(self._targets) == 1:
            return self._targets[0].capacity.bounds
        firm = (target.capacity.firm for target in self._targets)
        same = self._candidates(self._clock()) or self._targets
        return reduce(Bounds.least, (*firm, *(target.capacity.seen for target in same)))

    def others(self, trail: Trail) -> bool:
        """Whether there is a target that is well, and was not asked yet."""
        return self._is_left(trail.upstreams, self._clock())

    def spare(self, trail: Trail) -> bool:
        """Whether one of those has a slot that is free."""
        now = self._clock()
        return any(
            one.name not in trail.upstreams and one.is_free() and one.awake(now)
            for one in self._targets
        )

    def _choose(self, now: float, trail: Trail | None) -> Target[Request, Reply]:
        asked = trail.upstreams if trail is not None else ()
        same = self._candidates(now, asked)
        if not same:
            return min(self._targets, key=lambda one: _reluctance(one, now, asked))
        if len(same) == 1:
            return same[0]
        first, second = self._two(same)
        floor = min(first.latency.last, second.latency.last)
        cost = first.cost(now, least=self._least, floor=floor)
        other = second.cost(now, least=self._least, floor=floor)
        return second if other < cost * _NOTICEABLE else first

    def _candidates(self, now: float, asked: Sequence[str] = ()) -> list[Target[Request, Reply]]:
        """Of those that are awake and were not asked yet, the ones of the best priority."""
        awake = [target for target in self._targets if target.awake(now)]
        if asked:
            awake = [target for target in awake if target.name not in asked] or awake
        if not awake or awake[0].priority == awake[-1].priority:
            return awake
        return [target for target in awake if target.priority == awake[0].priority]

    def _two(
        self, same: list[Target[Request, Reply]]
    ) -> tuple[Target[Request, Reply], Target[Request, Reply]]:
        """Two of them, by weight."""
        dice = self._dice.random
        if self._even:
            place = int(dice() * len(same))
            other = int(dice() * (len(same) - 1))
            return same[place], same[other + (other >= place)]
        first = self._dice.choices(same, [target.weight for target in same])[0]
        rest = [target for target in same if target is not first]
        return first, self._dice.choices(rest, [target.weight for target in rest])[0]

    def _judge(
        self,
        target: Target[Request, Reply],
        trail: Trail | None,
        error: BaseException,
        begun: float,
        probe: int,
    ) -> None:
        now = self._clock()
        breaker = target.breaker
        if isinstance(error, RateLimited | UpstreamError):
            self._judge_failure(target, trail, error, begun, probe)
        elif isinstance(error, InvalidRequest):
            # What is wrong with a request says that the upstream is there.
            breaker.answered(begun)
        else:
            target.latency.lasted(now - begun, now)
            if trail is not None and trail.outrun:
                breaker.outrun(begun, now, probe=probe)
            else:
                breaker.undecided(probe)

    def _judge_failure(
        self,
        target: Target[Request, Reply],
        trail: Trail | None,
        error: RateLimited | UpstreamError,
        begun: float,
        probe: int,
    ) -> None:
        now = self._clock()
        own = error.upstream in (None, target.name)
        if isinstance(error, RateLimited) or (error.retry_after is not None and own):
            rest = min(error.retry_after or _REST, _LONGEST_REST)
            target.patient_until = max(target.patient_until, now + rest)
        if isinstance(error, RateLimited | WrongSpace | BadVector) or not own:
            # It is there; or this was not its failure: see `Target.ready`, and `SameSpace`.
            target.breaker.undecided(probe)
        else:
            nobody = isinstance(error, UpstreamUnreachable) and not error.reached
            target.breaker.failed(begun, now, at_once=nobody, probe=probe)
        if isinstance(error, UpstreamTimeout):
            target.latency.lasted(now - begun, now)
        left = self._is_left((target.name, *(trail.upstreams if trail else ())), now)
        if left:
            # The wait that one upstream asks for is not the request's while there is another.
            error.retry_after = None
        elif isinstance(error, UpstreamRefused | WrongSpace):
            error.most_retries = 0
        if error.upstream is None:
            error.upstream = target.name

    def _is_left(self, asked: Sequence[str], now: float) -> bool:
        return any(one.name not in asked and one.awake(now) for one in self._targets)


def _reluctance(
    one: Target[Request, Reply], now: float, asked: Sequence[str]
) -> tuple[bool, bool, bool, int, float]:
    """Who is asked where nobody should be: the smallest."""
    return one.paused(now), one.name in asked, not one.ready(), one.priority, one.wakes()
