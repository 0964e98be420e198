"""Tries again when that can help, within a budget, so that an outage is not amplified."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from embedway_upstream import EmbeddingError, Service

__all__ = ["Budget", "Retry"]


class _Timed(Protocol):
    @property
    def deadline(self) -> float | None: ...


Request = TypeVar("Request", bound=_Timed)
Reply = TypeVar("Reply")


class Budget:
    """
    How many retries the traffic allows: a share of the requests, or a floor a second if that is
    more. A token bucket that holds `window` seconds of the floor.

    The floor lets a quiet service retry; the share keeps a full outage of a busy one under
    `1 + share` attempts a request (Envoy's retry budget; Finagle adds the two instead).
    """

    def __init__(
        self,
        *,
        share: float = 0.2,
        floor: float = 10.0,
        window: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share = share
        self._floor = floor
        self._most = floor * window
        self._clock = clock
        self._tokens = floor
        self._filled = clock()
        self._requests = 0

    def request(self) -> None:
        """Count a first attempt."""
        self._requests += 1

    def take(self) -> bool:
        """Take a retry out of the budget; false when there is none."""
        now = self._clock()
        earned = max((now - self._filled) * self._floor, self._requests * self._share)
        self._tokens = min(self._most, self._tokens + earned)
        self._filled, self._requests = now, 0
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Retry(Generic[Request, Reply]):
    """
    At most `attempts` tries of a request whose error says that another may succeed.

    Waits are exponential with full jitter, or what the upstream asked for, and a retry that could
    not be answered before the deadline is not begun.
    """

    def __init__(
        self,
        inner: Service[Request, Reply],
        budget: Budget,
        *,
        attempts: int = 3,
        base: float = 0.05,
        longest: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._inner = inner
        self._budget = budget
        self._attempts = attempts
        self._base = base
        self._longest = longest
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter

    async def send(self, request: Request) -> Reply:
        """The first answer, or the last error."""
        self._budget.request()
        attempt = 1
        while True:
            try:
                return await self._inner.send(request)
            except EmbeddingError as error:
                most = self._attempts if error.most_retries is None else error.most_retries + 1
                if not error.retryable or attempt >= min(most, self._attempts):
                    raise
                wait = self._wait(attempt, error.retry_after)
                late = request.deadline is not None and self._clock() + wait >= request.deadline
                # An upstream that asks for a long pause is better told on to the caller.
                if late or wait > self._longest or not self._budget.take():
                    raise
            await self._sleep(wait)
            attempt += 1

    def _wait(self, attempt: int, asked: float | None) -> float:
        if asked is not None:
            return asked
        return self._jitter() * min(self._longest, self._base * 2.0 ** (attempt - 1))
