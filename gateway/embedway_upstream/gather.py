"""Runs coroutines a few at once; the first error cancels the rest and is raised bare."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

__all__ = ["gather"]

Result = TypeVar("Result")


async def gather(parts: Iterable[Coroutine[Any, Any, Result]], *, most: int) -> list[Result]:
    """
    The results in order, at most `most` of them in work at a time.

    Not `asyncio.TaskGroup`, whose `ExceptionGroup` would pass by every `except` above it, and
    not `asyncio.gather` alone, which leaves the siblings of a failed part running.
    """
    slots = asyncio.Semaphore(most)

    async def run(part: Coroutine[Any, Any, Result]) -> Result:
        async with slots:
            return await part

    parts = list(parts)
    tasks = [asyncio.ensure_future(run(part)) for part in parts]
    try:
        return await asyncio.gather(*tasks)
    finally:
        unfinished = [task for task in tasks if not task.done()]
        for task in unfinished:
            task.cancel()
        if unfinished:
            await asyncio.wait(unfinished)
        for part in parts:
            # A task that is cancelled before its first step never gets to its part.
            part.close()
