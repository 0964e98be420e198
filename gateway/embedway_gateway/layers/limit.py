"""Lets only so many calls of an upstream run at once; the rest wait, within bounds."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

from embedway_gateway.layers.ending import at_end
from embedway_gateway.phase import Waited, unwatched
from embedway_upstream import DeadlineExceeded, Overloaded, Service

__all__ = ["Concurrency", "Fixed", "Limit"]


# How much a call counts in what is known of how long one takes.
_NEWEST = 0.1


class _Timed(Protocol):
    @property
    def deadline(self) -> float | None: ...


Request = TypeVar("Request", bound=_Timed)
Reply = TypeVar("Reply")


class Concurrency(Protocol):
    """How many calls may run at once; it may change at any time."""

    @property
    def limit(self) -> int: ...

    @property
    def queueing(self) -> int:
        """In how many of those a call is known to wait at the upstream only."""
        ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """Always the same number."""

    limit: int
    queueing: int = 0


class Limit(Generic[Request, Reply]):
    """
    At most `concurrency.limit` calls run and `waiting` wait, first come, first served. More are
    refused as `Overloaded`, and so is what would wait beyond its deadline. A stream has its slot
    until it ends.
    """

    def __init__(
        self,
        inner: Service[Request, Reply],
        *,
        concurrency: Concurrency,
        waiting: int,
        clock: Callable[[], float] = time.monotonic,
        waited: Waited = unwatched,
    ) -> None:
        self._inner = inner
        self._waited = waited
        self._concurrency = concurrency
        self._most_waiting = waiting
        self._clock = clock
        self._running = 0
        self._seconds = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def send(self, request: Request) -> Reply:
        """Wait for a slot, no longer than the deadline, and send."""
        if self._waiting or self._running >= self._concurrency.limit:
            asked = self._clock()
            await self._wait(request.deadline)
            begun = self._clock()
        else:
            self._running += 1
            asked = begun = self._clock()
        self._waited(asked, begun)
        try:
            reply = await self._inner.send(request)
        except BaseException:
            self._leave()
            raise
        at_end(reply, partial(self._end, begun))
        return reply

    def _require_hope(self, deadline: float | None) -> None:
        """Refuse what would wait in vain, rather than let it wait."""
        ahead = len(self._waiting)
        wait = (ahead + 1) * self._seconds / self._concurrency.limit
        late = deadline is not None and self._clock() + wait > deadline
        if late or ahead >= self._most_waiting:
            raise Overloaded(
                "more requests wait than can be answered in time; try again later",
                retry_after=max(1.0, wait / 2),
            )

    async def _wait(self, deadline: float | None) -> None:
        self._require_hope(deadline)
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        left = None if deadline is None else deadline - self._clock()
        try:
            async with asyncio.timeout(left):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                # The slot came, but too late: it is the next one's.
                self._leave()
            else:
                with suppress(ValueError):
                    self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                message = "the request waited for a free slot until its deadline"
                raise DeadlineExceeded(message) from None
            raise

    def _end(self, begun: float) -> None:
        self._seconds += (self._clock() - begun - self._seconds) * _NEWEST
        self._leave()

    def _leave(self) -> None:
        self._running -= 1
        while self._waiting and self._running < self._concurrency.limit:
            turn = self._waiting.popleft()
            # One that was given up may not have been taken out yet.
            if not turn.done():
                self._running += 1
                turn.set_result(None)
