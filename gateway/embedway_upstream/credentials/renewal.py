"""Keeps credentials fresh on an event loop, which never waits for a refresh to block."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedway_upstream.credentials.credentials import Credentials

__all__ = ["Renewal"]


class Renewal:
    """Runs refreshes in threads, one at a time for all who ask; several loops may share it."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._tasks: dict[bool, asyncio.Task[bool]] = {}
        self.forced = 0
        """How many forced refreshes have ended."""

    async def ready(self) -> None:
        """
        Return when calls can be signed: at once as a rule. What will expire soon is renewed in the
        background meanwhile. Raises what `refresh` does.
        """
        if self._credentials.stale():
            await asyncio.shield(self._once(force=False))
        elif self._credentials.due():
            self._once(force=False)

    async def renew(self, seen: int) -> bool:
        """
        After a refusal: refresh, unless that was done since the call was signed, when `forced` was
        `seen`. Whether it is worth calling again.
        """
        if self.forced != seen:
            return True
        return await asyncio.shield(self._once(force=True))

    def _once(self, *, force: bool) -> asyncio.Task[bool]:
        task = self._tasks.get(force)
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            task = self._tasks[force] = asyncio.create_task(self._refresh(force=force))
            # Whoever waits may be cancelled, and nobody look at the outcome.
            task.add_done_callback(_look)
        return task

    async def _refresh(self, *, force: bool) -> bool:
        try:
            worth = await asyncio.to_thread(self._credentials.refresh, force)
        finally:
            self.forced += force
        return worth


def _look(task: asyncio.Task[bool]) -> None:
    if not task.cancelled():
        task.exception()
