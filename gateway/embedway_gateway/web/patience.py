"""Works for a caller only while the caller is there, and waits for none for ever."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any, TypeVar

from starlette.types import Receive

from embedway_gateway.interruption import Interruption
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
    loop = asyncio.get_running_loop()
    interruption = Interruption(loop)
    watch = _Watch(receive, interruption)
    timer = loop.call_later(_SOON, watch.begin)
    try:
        return await work
    except asyncio.CancelledError:
        if interruption.end():
            # nginx's status for it; nobody is there to read it, but the log is.
            message = "The caller went away."
            raise HTTPError(499, message, code="client_closed_request") from None
        raise
    finally:
        timer.cancel()
        interruption.end()
        watch.end()


async def received_within(seconds: float, work: Coroutine[Any, Any, Result]) -> Result:
    """What a caller sends, unless that takes longer: a slow one must not hold its connection."""
    try:
        waited_for = work.send(None)
    except StopIteration as end:
        # It was here already, as nearly all are: nothing to watch.
        return end.value  # type: ignore[no-any-return]
    loop = asyncio.get_running_loop()
    interruption = Interruption(loop)
    timer = loop.call_later(seconds, interruption.make)
    try:
        return await _rest(work, waited_for)
    except asyncio.CancelledError:
        if interruption.end():
            message = f"The request's body did not come within {seconds:g} seconds."
            raise HTTPError(408, message, code="body_timeout", retry=True) from None
        raise
    finally:
        timer.cancel()
        interruption.end()


@types.coroutine
def _rest(
    work: Coroutine[Any, Any, Result], waited_for: object
) -> Generator[object, object, Result]:
    """The rest of a coroutine that waits for something after its first step."""
    while True:
        try:
            value = yield waited_for
        except BaseException as error:  # noqa: BLE001 – whatever it is, it is for the work
            step = partial(work.throw, error)
        else:
            step = partial(work.send, value)
        try:
            waited_for = step()
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


class _Watch:
    """Interrupts the work when the caller's connection ends."""

    def __init__(self, receive: Receive, interruption: Interruption) -> None:
        self._receive = receive
        self._interruption: Interruption | None = interruption
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
