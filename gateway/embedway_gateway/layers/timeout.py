"""Bounds one attempt at an upstream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from embedway_gateway.interruption import Interruption
from embedway_gateway.layers.countdown import Countdown
from embedway_upstream import DeadlineExceeded, Service, UpstreamTimeout

__all__ = ["Timeout"]


class _Timed(Protocol):
    @property
    def deadline(self) -> float | None: ...


Request = TypeVar("Request", bound=_Timed)
Reply = TypeVar("Reply")


class Timeout(Generic[Request, Reply]):
    """
    An attempt ends after `seconds`, in which a pause of our own process is not counted, or at the
    request's deadline when that is sooner.
    """

    def __init__(
        self,
        inner: Service[Request, Reply],
        *,
        seconds: float,
        upstream: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._seconds = seconds
        self._upstream = upstream
        self._clock = clock

    async def send(self, request: Request) -> Reply:
        """The reply; `UpstreamTimeout` when it did not come in time."""
        loop = asyncio.get_running_loop()
        interruption = Interruption(loop)
        until = float("inf")
        if request.deadline is not None:
            until = loop.time() + request.deadline - self._clock()
        timer = Countdown(loop, self._seconds, interruption.make, until=until)
        try:
            return await self._inner.send(request)
        except asyncio.CancelledError:
            if not interruption.end():
                raise
            if loop.time() >= until:
                # Ours was up, not the upstream's, which may have begun late.
                raise DeadlineExceeded("the request's deadline passed") from None
            raise UpstreamTimeout(
                "the upstream did not answer in time", upstream=self._upstream
            ) from None
        finally:
            timer.cancel()
            interruption.end()
