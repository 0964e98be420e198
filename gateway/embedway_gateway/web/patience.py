"""Works for a caller only while the caller is there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

from embedway_gateway.web.error import HTTPError

__all__ = ["while_connected"]

Result = TypeVar("Result")


async def while_connected(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """
    The work's result; when the caller goes away first, the work is cancelled and frees its slot.

    The body must have been read: the next message is then the end of the connection.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(receive())
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        # nginx's status for it; nobody is there to read it, but the log is.
        raise HTTPError(499, "The caller went away.", code="client_closed_request")
    finally:
        task.cancel()
        gone.cancel()
