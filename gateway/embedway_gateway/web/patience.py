"""Works for a caller only while the caller is there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

from embedway_gateway.web.error import HTTPError

__all__ = ["while_connected"]

Result = TypeVar("Result")

# Most work is done sooner, and to watch a caller costs as much as all our layers.
_SOON = 0.025


async def while_connected(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """
    The work's result; when the caller goes away first, the work is cancelled and frees its slot.
    Nobody looks within the first 25 ms.

    The body must have been read: the next message is then the end of the connection.
    """
    caller = asyncio.current_task()
    assert caller is not None
    watch = _Watch(receive, caller)
    timer = asyncio.get_running_loop().call_later(_SOON, watch.begin)
    asked_to_stop = caller.cancelling()
    try:
        return await work
    except asyncio.CancelledError:
        if watch.gone and caller.uncancel() <= asked_to_stop:
            # nginx's status for it; nobody is there to read it, but the log is.
            message = "The caller went away."
            raise HTTPError(499, message, code="client_closed_request") from None
        raise
    finally:
        timer.cancel()
        watch.end()


class _Watch:
    """Cancels the caller's work when its connection ends."""

    def __init__(self, receive: Receive, caller: asyncio.Task[object]) -> None:
        self._receive = receive
        self._caller: asyncio.Task[object] | None = caller
        self._task: asyncio.Task[None] | None = None
        self.gone = False

    def begin(self) -> None:
        self._task = asyncio.create_task(self._wait())

    def end(self) -> None:
        self._caller = None
        if self._task is not None:
            self._task.cancel()

    async def _wait(self) -> None:
        await self._receive()
        if self._caller is not None:
            self.gone = True
            self._caller.cancel()
