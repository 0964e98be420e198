"""Lets only so many calls of an upstream run at once; the rest wait, within bounds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from embedway_upstream import DeadlineExceeded, Overloaded, Service

__all__ = ["Limit"]


class _Timed(Protocol):
    @property
    def deadline(self) -> float | None: ...


Request = TypeVar("Request", bound=_Timed)
Reply = TypeVar("Reply")


class Limit(Generic[Request, Reply]):
    """At most `concurrency` calls run and `waiting` wait; more are refused as `Overloaded`."""

    def __init__(
        self,
        inner: Service[Request, Reply],
        *,
        concurrency: int,
        waiting: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._slots = asyncio.Semaphore(concurrency)
        self._room = waiting
        self._clock = clock

    async def send(self, request: Request) -> Reply:
        """Wait for a slot, no longer than the deadline, and send."""
        await self._enter(request.deadline)
        try:
            return await self._inner.send(request)
        finally:
            self._slots.release()

    async def _enter(self, deadline: float | None) -> None:
        if not self._slots.locked():
            await self._slots.acquire()
            return
        if self._room == 0:
            raise Overloaded("too many requests are waiting; try again soon", retry_after=1.0)
        self._room -= 1
        try:
            left = None if deadline is None else deadline - self._clock()
            async with asyncio.timeout(left):
                await self._slots.acquire()
        except TimeoutError:
            raise DeadlineExceeded(
                "the request waited for a free slot until its deadline"
            ) from None
        finally:
            self._room += 1
