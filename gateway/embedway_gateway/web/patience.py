"""Works for a caller only while the caller is there, and waits for none for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

from embedway_gateway.web.error import HTTPError

__all__ = ["received_within", "while_connected"]

Result = TypeVar("Result")

# Most work is done sooner, and to watch a caller costs as much as all our layers.
_SOON = 0.025


async def while_connected(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """
    The work's result; when the caller goes away first, the work is cancelled and frees its slot.
    Nobody looks within the first 25 ms.

    The body must have been read: the next message is then the end of the connection.
    """
    interruption = _Interruption()
    watch = _Watch(receive, interruption)
    timer = asyncio.get_running_loop().call_later(_SOON, watch.begin)
    try:
        return await work
    except asyncio.CancelledError:
        if interruption.is_ours():
            # nginx's status for it; nobody is there to read it, but the log is.
            message = "The caller went away."
            raise HTTPError(499, message, code="client_closed_request") from None
        raise
    finally:
        timer.cancel()
        watch.end()


async def received_within(seconds: float, work: Coroutine[Any, Any, Result]) -> Result:
    """What a caller sends, unless that takes longer: a slow one must not hold its connection."""
    interruption = _Interruption()
    timer = asyncio.get_running_loop().call_later(seconds, interruption.make)
    try:
        return await work
    except asyncio.CancelledError:
        if interruption.is_ours():
            message = f"The request's body did not come within {seconds:g} seconds."
            raise HTTPError(408, message, code="body_timeout", retry=True) from None
        raise
    finally:
        timer.cancel()


class _Interruption:
    """Stops the task that made it, and tells whether it was this that stopped it."""

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._before = task.cancelling()
        self._made = False

    def make(self) -> None:
        self._made = True
        self._task.cancel()

    def is_ours(self) -> bool:
        return self._made and self._task.uncancel() <= self._before


class _Watch:
    """Interrupts the work when the caller's connection ends."""

    def __init__(self, receive: Receive, interruption: _Interruption) -> None:
        self._receive = receive
        self._interruption: _Interruption | None = interruption
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self._task = asyncio.create_task(self._wait())

    def end(self) -> None:
        self._interruption = None
        if self._task is not None:
            self._task.cancel()

    async def _wait(self) -> None:
        await self._receive()
        if self._interruption is not None:
            self._interruption.make()
