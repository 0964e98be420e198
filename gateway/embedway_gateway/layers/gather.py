"""Runs several awaitables at once; the first error cancels the rest and is raised bare."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

__all__ = ["gather"]

Result = TypeVar("Result")


async def gather(parts: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """
    The results, in order.

    Not `asyncio.TaskGroup`, whose `ExceptionGroup` would pass by every `except` above it, and
    not `asyncio.gather`, which leaves the siblings of a failed part running.
    """
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        return await asyncio.gather(*tasks)
    finally:
        unfinished = [task for task in tasks if not task.done()]
        for task in unfinished:
            task.cancel()
        if unfinished:
            await asyncio.wait(unfinished)
