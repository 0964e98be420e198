"""Keeps credentials fresh on an event loop, which never waits for a refresh to block."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from embedway_upstream.credentials.flight import Flights, Shared
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
    """
    Has refreshes run in threads, one at a time for all who use the credentials, on whatever loop.
    Each error that is raised is the caller's own: layers above write into what they catch.
    """

    def __init__(
        self, credentials: Credentials, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._credentials = credentials
        self._flights = credentials.flights if isinstance(credentials, Shared) else Flights()
        self.rest = Rest(clock)
        """Where it is told what the call after a renewal came to."""

    @property
    def forced(self) -> int:
        """How many forced refreshes have ended."""
        return self._flights.forced

    async def ready(self) -> None:
        """
        Return when calls can be signed: at once as a rule. What will expire soon is renewed in the
        background meanwhile. Raises what `refresh` does.
        """
        if self._credentials.stale():
            await self._landed(force=False)
        elif self._credentials.due():
            self._flights.begin(self._credentials, force=False)

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
            outcome = self._flights.outcome
            if isinstance(outcome, EmbeddingError):
                raise outcome.own()
            return outcome
        return await self._landed(force=True)

    async def _landed(self, *, force: bool) -> bool:
        try:
            # Whoever is cancelled here leaves the refresh to the others.
            return await asyncio.wrap_future(self._flights.begin(self._credentials, force=force))
        except EmbeddingError as error:
            raise error.own() from None
