"""Keeps credentials fresh on an event loop, which never waits for a refresh to block."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING

from embedway_upstream.error import EmbeddingError

if TYPE_CHECKING:
    from embedway_upstream.credentials.credentials import Credentials

__all__ = ["Renewal", "Rest"]

_REST_SECONDS = 5.0


class Rest:
    """
    When renewing is not tried for a while: what was renewed a moment ago was refused as well, so
    that something else is refused, as by an engine behind the platform that wants a key of its own.
    Each call would cost a second one, and a token.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until = float("-inf")

    def after(self, status: int) -> None:
        """Told with what status the call after a renewal was answered."""
        if status == 401:
            self._until = self._clock() + _REST_SECONDS

    @property
    def lasts(self) -> bool:
        """Whether it is too early to renew after another refusal."""
        return self._clock() < self._until


class Renewal:
    """Runs refreshes in threads, one at a time for all who ask; several loops may share it."""

    def __init__(
        self, credentials: Credentials, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._credentials = credentials
        self.rest = Rest(clock)
        """Where it is told what the call after a renewal came to."""
        self._tasks: dict[bool, asyncio.Task[bool]] = {}
        self._outcome: bool | EmbeddingError = True
        self.forced = 0
        """How many forced refreshes have ended."""

    async def ready(self) -> None:
        """
        Return when calls can be signed: at once as a rule. What will expire soon is renewed in the
        background meanwhile. Raises what `refresh` does.
        """
        if self._credentials.stale():
            await self._waited(force=False)
        elif self._credentials.due():
            self._once(force=False)

    async def renew(self, seen: int) -> bool:
        """
        After a refusal: refresh, unless that was done since the call was signed, when `forced` was
        `seen`. Whether it is worth calling again. Raises what the refresh did, then as well: with
        the token that was refused, a passing failure of the login would be told as a lasting one.
        Nothing is renewed, and calling again not worth it, during a `rest`.
        """
        if self.rest.lasts:
            return False
        if self.forced != seen:
            if isinstance(self._outcome, EmbeddingError):
                raise copy(self._outcome)
            return self._outcome
        return await self._waited(force=True)

    async def _waited(self, *, force: bool) -> bool:
        try:
            return await asyncio.shield(self._once(force=force))
        except EmbeddingError as error:
            # Layers above write into what they catch, and others wait for the same.
            raise copy(error) from None

    def _once(self, *, force: bool) -> asyncio.Task[bool]:
        task = self._tasks.get(force)
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            task = self._tasks[force] = asyncio.create_task(self._refresh(force=force))
            # Whoever waits may be cancelled, and nobody look at the outcome.
            task.add_done_callback(_look)
        return task

    async def _refresh(self, *, force: bool) -> bool:
        outcome: bool | EmbeddingError = False
        try:
            worth = await asyncio.to_thread(self._credentials.refresh, force)
            outcome = worth
        except EmbeddingError as error:
            outcome = error
            raise
        finally:
            if force:
                self._outcome = outcome
                self.forced += 1
        return worth


def _look(task: asyncio.Task[bool]) -> None:
    if not task.cancelled():
        task.exception()
