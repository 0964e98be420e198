"""Counts in a Redis server, for all gateways that share it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Sequence
from functools import partial
from itertools import count, islice

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
        self._waiting: deque[tuple[list[str], list[object]]] = deque()
        self._awake = asyncio.Event()
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
        try:
            ask = partial(self._script, keys=keys, args=arguments)
            answer = await self._line.call("admit", ask)
        except (Unavailable, asyncio.CancelledError) as error:
            # It may have been admitted. What it took comes back by itself, but a seat does not.
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
        keys = [_PREFIX + meter.name for meter, _ in changed]
        keys += [_PREFIX + one.name for one in seats]
        arguments: list[object] = [len(changed), lease, 0]
        for meter, change in changed:
            arguments += (meter.limit, change)
        self._waiting.append((keys, arguments))
        self._awake.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        renew_at = loop.time() + self._lease / 3
        while not self._closing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(renew_at):
                    await self._awake.wait()
            self._awake.clear()
            # By the clock: at full load there is always more to send, and nothing is waited for.
            if loop.time() >= renew_at:
                renew_at = loop.time() + self._lease / 3
                # Behind what waits: a seat that is free already is not taken again.
                for lease, keys in self._seated.items():
                    self._waiting.append((list(keys), [0, lease, self._milliseconds]))
            if await self._send() and self._waiting:
                self._awake.set()
        while self._waiting and await self._send():
            pass

    async def _send(self) -> bool:
        """What waits, as much as one round trip takes; whether the server took it."""
        part = list(islice(self._waiting, _AT_ONCE))
        if not part:
            return True
        pipe = self._line.redis.pipeline(transaction=False)
        for keys, arguments in part:
            pipe.eval(SETTLE, len(keys), *keys, *map(str, arguments))
        try:
            await self._line.call("settle", partial(pipe.execute, raise_on_error=False))
        except Unavailable:
            # Sent again it might count twice. Meters refill, and leases end by themselves.
            return False
        finally:
            for _ in part:
                self._waiting.popleft()
        return True


def _is_answer(answer: object, meters: int) -> bool:
    return (
        isinstance(answer, list)
        and len(answer) == meters + 2
        and all(isinstance(one, int) for one in answer)
    )
