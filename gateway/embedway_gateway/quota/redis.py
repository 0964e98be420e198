"""Counts in a Redis server, for all gateways that share it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Generic, TypeVar

from embedway_gateway.cache.store import Unavailable
from embedway_gateway.metric import Metrics
from embedway_gateway.quota.local import LocalQuota
from embedway_gateway.quota.meter import Meter, Seats
from embedway_gateway.quota.quota import Demand, QuotaDown, Verdict
from embedway_gateway.quota.script import ADMIT, SETTLE
from embedway_gateway.redis_line import RedisLine

__all__ = ["RedisQuota"]

_PREFIX = "embedway:1:quota:"
# Of a gateway that died the seats are free after so many seconds.
_LEASE = 60.0
_REFUSES = "the Redis of the limits failed (%s), what is limited is refused"
_ALONE = "the Redis of the limits failed (%s), each process counts for itself"
# In one round trip.
_AT_ONCE = 128
# Settlements that wait. What comes beyond that is forgotten: meters refill, leases end.
_MOST = 100_000
# After a failure, in seconds. The line leaves the server alone for a second or more.
_PAUSE = 0.25

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Settlement:
    """Changes of meters, and of seats the end or, for `lasts` milliseconds, the renewal."""

    changed: Sequence[tuple[Meter, float]]
    seats: Sequence[str]
    lease: str
    lasts: int
    until: float
    """On the loop's clock: then its lease is over, whatever is sent."""

    def keys(self) -> list[str]:
        return [*(_PREFIX + meter.name for meter, _ in self.changed), *self.seats]

    def arguments(self) -> list[str]:
        found: list[object] = [len(self.changed), self.lease, self.lasts]
        for meter, change in self.changed:
            found += (meter.limit, change)
        return [str(one) for one in found]


class _Once(Generic[T]):
    """Tells whether a command was begun: what a resting line refuses never left this process."""

    def __init__(self, command: Callable[[], Awaitable[T]]) -> None:
        self._command = command
        self.begun = False

    async def __call__(self) -> T:
        self.begun = True
        return await self._command()


class RedisQuota:
    """
    Admits in one round trip, and settles after the answer. Without its server each process counts
    for itself, or with `refuse` admits nobody.
    """

    def __init__(
        self,
        url: str,
        metrics: Metrics,
        *,
        timeout: float,
        connections: int,
        refuse: bool,
        lease: float = _LEASE,
    ) -> None:
        self._line = RedisLine(
            url,
            timeout=timeout,
            connections=connections,
            failing=_REFUSES if refuse else _ALONE,
            again="the Redis of the limits answers again",
            failed=lambda operation: metrics.quota_errors.labels(operation).inc(),
        )
        self._script = self._line.redis.register_script(ADMIT)
        self._refuse = refuse
        self._lease = lease
        self._local = LocalQuota()
        self._process = secrets.token_hex(8)
        self._number = count()
        self._seated: dict[str, tuple[str, ...]] = {}
        self._waiting: deque[_Settlement] = deque()
        self._awake = asyncio.Event()
        self._failing = False
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    async def admit(self, demand: Demand) -> Verdict:
        """Take what is asked for, or nothing. Raises `QuotaDown`."""
        lease = f"{self._process}:{next(self._number)}"
        keys = [_PREFIX + meter.name for meter in demand.meters]
        keys += [_PREFIX + seats.name for seats in demand.seats]
        arguments: list[str | int] = [
            len(demand.meters),
            len(demand.seats),
            lease,
            self._milliseconds,
        ]
        for meter, amount in zip(demand.meters, demand.amounts, strict=True):
            arguments += (meter.limit, amount)
        arguments += [seats.most for seats in demand.seats]
        ask = _Once(lambda: self._script(keys=keys, args=arguments))
        try:
            answer = await self._line.call("admit", ask)
        except (Unavailable, asyncio.CancelledError) as error:
            # It may have been admitted. What it took comes back by itself, but a seat does not.
            if ask.begun:
                self._later((), demand.seats, lease)
            if isinstance(error, Unavailable):
                return self._without(demand)
            raise
        if not _is_answer(answer, len(demand.meters)):
            return self._without(demand)
        blocker, wait, *resets = answer
        if not blocker and demand.seats:
            self._seated[lease] = tuple(_PREFIX + seats.name for seats in demand.seats)
        return Verdict(
            [None, *demand.meters, *demand.seats][blocker],
            wait / 1e6,
            tuple(reset / 1e6 for reset in resets),
            lease,
        )

    def settle(self, demand: Demand, verdict: Verdict, changes: Sequence[float]) -> None:
        """Correct the meters, and free the seats, soon."""
        if not verdict.lease:
            self._local.settle(demand, verdict, changes)
            return
        self._seated.pop(verdict.lease, None)
        changed = [
            (meter, change) for meter, change in zip(demand.meters, changes, strict=True) if change
        ]
        self._later(changed, demand.seats, verdict.lease)

    def start(self) -> None:
        """Begin to send settlements, and to renew leases."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Send what waits, if that is quick, and let go of the connections."""
        self._closing = True
        self._awake.set()
        if self._task is not None:
            # Not cancelled at once: what was half sent could not be sent again.
            await asyncio.wait([self._task], timeout=1.0)
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._line.close()

    @property
    def _milliseconds(self) -> int:
        return int(self._lease * 1000)

    def _without(self, demand: Demand) -> Verdict:
        if self._refuse:
            raise QuotaDown
        return self._local.admit_now(demand)

    def _later(
        self, changed: Sequence[tuple[Meter, float]], seats: Sequence[Seats], lease: str
    ) -> None:
        if not (changed or seats) or len(self._waiting) >= _MOST:
            return
        names = [_PREFIX + one.name for one in seats]
        until = asyncio.get_running_loop().time() + self._lease
        self._waiting.append(_Settlement(changed, names, lease, 0, until))
        if not self._failing:
            self._awake.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        renew_at = loop.time() + self._lease / 3
        while not self._closing:
            wake_at = min(renew_at, loop.time() + _PAUSE) if self._failing else renew_at
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(wake_at):
                    await self._awake.wait()
            self._awake.clear()
            # By the clock: at full load there is always more to send, and nothing is waited for.
            if loop.time() >= renew_at:
                renew_at = loop.time() + self._lease / 3
                # Behind what waits: a seat that is free already is not taken again.
                for lease, keys in self._seated.items():
                    renewal = _Settlement((), keys, lease, self._milliseconds, renew_at)
                    self._waiting.append(renewal)
            self._failing = not await self._send()
            if self._waiting and not self._failing:
                self._awake.set()
        while self._waiting and await self._send():
            pass

    async def _send(self) -> bool:
        """What waits, as much as one round trip takes; whether the server took it."""
        part = [self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))]
        if not part:
            return True
        pipe = self._line.redis.pipeline(transaction=False)
        for one in part:
            keys = one.keys()
            pipe.eval(SETTLE, len(keys), *keys, *one.arguments())
        ask = _Once(lambda: pipe.execute(raise_on_error=False))
        try:
            await self._line.call("settle", ask)
        except Unavailable:
            self._put_back(part, sent=ask.begun)
            return False
        return True

    def _put_back(self, part: Sequence[_Settlement], *, sent: bool) -> None:
        """
        In front, in their order. A seat is freed once however often that is said; a change of a
        meter that may have been made would count twice, and meters refill.
        """
        now = asyncio.get_running_loop().time()
        # A renewal is not kept: the next one says the same.
        kept = [one for one in part if one.until > now and not one.lasts]
        if sent:
            kept = [replace(one, changed=()) for one in kept if one.seats]
        self._waiting.extendleft(reversed(kept))


def _is_answer(answer: object, meters: int) -> bool:
    return (
        isinstance(answer, list)
        and len(answer) == meters + 2
        and all(isinstance(one, int) for one in answer)
    )
