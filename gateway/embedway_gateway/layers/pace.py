"""How often a tenancy may be called: one pace for all upstreams that share it."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from embedway_upstream import RateLimited, Service
from embedway_upstream.platforms.error import PlatformLimited

__all__ = ["Pace", "Paced"]

_log = logging.getLogger("embedway.gateway")

# The share of a second's requests that may go at once: a platform that counts by the second then
# sees a tenth more than its limit at the worst.
_BURST = 0.1
_SHORTEST = 0.5
_LONGEST = 30.0
# Longer is a mistake, or somebody's prank.
_LONGEST_ASKED = 300.0
# What summed fractions may lack of a whole.
_ROUNDING = 1e-6


class _Timed(Protocol):
    @property
    def deadline(self) -> float | None: ...


Request = TypeVar("Request", bound=_Timed)
Reply = TypeVar("Reply")


class Pace:
    """
    A token bucket of `rate` requests a second, and a pause of all of them once the platform says
    that it was too many: as long as it asks, or exponential with full jitter. Each success of a
    call that began after the last pause halves the next one.

    After a pause the bucket is empty: those who waited for its end do not go at once.
    """

    def __init__(
        self,
        name: str,
        *,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._name = name
        self._rate = rate
        self._most = max(1.0, rate * _BURST)
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._tokens = self._most
        self._filled = clock()
        self._line = asyncio.Lock()
        self._waiting = 0
        self._pauses = 0
        self._level = 0
        self.paused_until = 0.0

    def require_awake(self) -> None:
        """Raise `RateLimited`, with the seconds that are left, during a pause."""
        left = self.paused_until - self._clock()
        if left > 0:
            raise RateLimited(
                "OCI refused further requests of the tenancy; all its deployments pause",
                retry_after=left,
            )

    async def turn(self, deadline: float | None) -> int:
        """
        Wait until the next request may go, first come, first served; gives the number of pauses so
        far. Raises `RateLimited` at once during a pause, and when the turn comes after `deadline`.
        """
        self.require_awake()
        if self._waiting or not self._take():
            wait = (self._waiting + 1 - self._tokens) / self._rate
            if deadline is not None and self._clock() + wait >= deadline:
                raise RateLimited(
                    "more requests wait for the tenancy's request rate than the deadline allows",
                    retry_after=wait,
                )
            await self._wait()
        return self._pauses

    def refused(self, begun: int, asked: float | None) -> float:
        """
        Pause, because a call that had its turn after `begun` pauses was one too many; gives the
        seconds that are left. Calls that ran together are refused together: that is one pause.
        """
        now = self._clock()
        if asked is not None:
            self._pause(now + min(asked, _LONGEST_ASKED))
        elif begun == self._pauses:
            longest = min(_LONGEST, _SHORTEST * 2.0**self._level)
            self._pause(now + self._jitter() * longest)
        if begun == self._pauses:
            self._pauses += 1
            self._level = min(self._level + 1, 10)
            left = self.paused_until - now
            _log.warning("OCI limits the tenancy of %r: a pause of %.1f s", self._name, left)
        return max(0.0, self.paused_until - now)

    def answered(self, begun: int) -> None:
        """A call that had its turn after `begun` pauses succeeded."""
        if begun == self._pauses:
            self._level = max(0, self._level - 1)

    def _pause(self, until: float) -> None:
        if until > self.paused_until:
            self.paused_until = until
            self._tokens, self._filled = 0.0, until

    async def _wait(self) -> None:
        self._waiting += 1
        try:
            # A lock's waiters are served in order, and one that is cancelled leaves no gap.
            async with self._line:
                self.require_awake()
                while not self._take():
                    await self._sleep((1 - self._tokens) / self._rate)
                    self.require_awake()
        finally:
            self._waiting -= 1

    def _take(self) -> bool:
        now = self._clock()
        earned = max(0.0, now - self._filled) * self._rate
        self._tokens = min(self._most, self._tokens + earned)
        self._filled = max(self._filled, now)
        if self._tokens < 1 - _ROUNDING:
            return False
        self._tokens -= 1
        return True


class Paced(Generic[Request, Reply]):
    """Stands below Limit, so that a turn is used at once, and above what measures the upstream."""

    def __init__(self, inner: Service[Request, Reply], pace: Pace) -> None:
        self._inner = inner
        self._pace = pace

    async def send(self, request: Request) -> Reply:
        """Send at the tenancy's pace. Raises `RateLimited` during a pause."""
        begun = await self._pace.turn(request.deadline)
        try:
            reply = await self._inner.send(request)
        except PlatformLimited as error:
            if error.scope == "tenancy":
                error.retry_after = self._pace.refused(begun, error.retry_after)
            raise
        self._pace.answered(begun)
        return reply
