"""Tries again when that can help, within a budget, so that an outage is not amplified."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Generic, TypeVar

from embedway_upstream import (
    EmbeddingError,
    EmbeddingRequest,
    RerankRequest,
    Service,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from embedway_upstream.chat import ChatRequest
from embedway_upstream.trail import Trail

__all__ = ["Budget", "Retry"]


Request = TypeVar("Request", EmbeddingRequest, RerankRequest, ChatRequest)
Reply = TypeVar("Reply")

# What summed fractions may lack of a whole.
_ROUNDING = 1e-6
# Retries fade a little slower than requests: what an outage spends at its start is paid back.
_PAID_BACK = 0.95


class _Recent:
    """Requests and retries of the last `seconds`; older ones fade away."""

    __slots__ = ("requests", "retries", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.requests = self.retries = 0.0

    def pass_by(self, passed: float, requests: int) -> None:
        """So many seconds, in which so many requests came one by one."""
        past = passed / self.seconds
        kept = math.exp(-past)
        share = (1 - kept) / past if past > _ROUNDING else 1.0
        self.requests = self.requests * kept + requests * share
        self.retries *= kept**_PAID_BACK


class Budget:
    """
    How many retries the traffic allows: `share` of the requests of the last second or so, or
    `floor` a second if that is more.

    The floor lets a quiet service retry; the share keeps a full outage of a busy one under
    `1 + share` attempts a request (Envoy's retry budget; Finagle adds the two instead). While
    another upstream is well, what ten seconds allow may be spent at once, as Finagle does: of one
    that goes down, all calls fail together.
    """

    def __init__(
        self,
        *,
        share: float = 0.2,
        floor: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share = share
        self._floor = floor
        self._clock = clock
        self._counted = clock()
        self._new = 0
        self._second, self._saved = _Recent(1.0), _Recent(10.0)

    def request(self) -> None:
        """Count a first attempt."""
        self._new += 1

    def take(self, *, elsewhere: bool = False) -> bool:
        """
        Take a retry out of the budget; false when there is none. `elsewhere`: an upstream that is
        well will have it.
        """
        now = self._clock()
        for recent in (self._second, self._saved):
            recent.pass_by(max(0.0, now - self._counted), self._new)
        self._counted, self._new = now, 0
        recent = self._saved if elsewhere else self._second
        allowed = max(self._floor * recent.seconds, recent.requests * self._share)
        if recent.retries + 1 > allowed + _ROUNDING:
            return False
        self._second.retries += 1
        self._saved.retries += 1
        return True


def _unknown(_trail: Trail) -> bool:
    return False


def _uncounted() -> None:
    """Nobody counts retries."""


class Retry(Generic[Request, Reply]):
    """
    At most `attempts` tries of a request whose error says that another may succeed.

    Waits are exponential with full jitter, or what the upstream asked for; but where nobody was
    reached, the next upstream is asked at once, if `others` has one. A retry that could not be
    answered before the deadline is not begun. What fewer texts may pass is not repeated: the layer
    that cut it cuts it again.
    """

    def __init__(
        self,
        inner: Service[Request, Reply],
        budget: Budget,
        *,
        attempts: int = 3,
        base: float = 0.025,
        longest: float = 2.0,
        others: Callable[[Trail], bool] = _unknown,
        retried: Callable[[], None] = _uncounted,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._inner: Service[Request, Reply] = inner
        self._budget = budget
        self._attempts = attempts
        self._base = base
        self._longest = longest
        self._others = others
        self._retried = retried
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter

    async def send(self, request: Request) -> Reply:
        """The first answer, or the last error."""
        # A request that was sent before is a hedge, which the budget has counted.
        if request.trail is None or not request.trail.upstreams:
            self._budget.request()
        attempt = 1
        while True:
            try:
                return await self._inner.send(request)
            except EmbeddingError as error:
                if not self._may_help(attempt, error):
                    raise
                request = _remembering(request, error)
                elsewhere = request.trail is not None and self._others(request.trail)
                wait = self._wait(attempt, error, elsewhere=elsewhere)
                late = request.deadline is not None and self._clock() + wait >= request.deadline
                # An upstream that asks for a long pause is better told on to the caller.
                if late or wait > self._longest or not self._budget.take(elsewhere=elsewhere):
                    raise
            self._retried()
            if wait > 0:
                await self._sleep(wait)
            attempt += 1

    def _may_help(self, attempt: int, error: EmbeddingError) -> bool:
        cut = isinstance(error, UpstreamTimeout) and error.fewer_may_pass
        most = self._attempts
        if error.most_retries is not None:
            most = min(most, error.most_retries + 1)
        return error.retryable and not cut and attempt < most

    def _wait(self, attempt: int, error: EmbeddingError, *, elsewhere: bool) -> float:
        if error.retry_after is not None:
            return error.retry_after
        if elsewhere and isinstance(error, UpstreamUnreachable):
            return 0.0
        return self._jitter() * min(self._longest, self._base * 2.0 ** (attempt - 1))


def _remembering(request: Request, error: EmbeddingError) -> Request:
    """The request that knows who has failed it: another upstream is preferred."""
    trail = request.trail
    if trail is None:
        trail = Trail()
        request = replace(request, trail=trail)
    if error.upstream is not None and error.upstream not in trail.upstreams:
        trail.upstreams.append(error.upstream)
    return request
