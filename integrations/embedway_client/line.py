"""Carries calls to one server and its replies back: connections, credentials and pauses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from embedway_client.attempt import (
    Answer,
    Dialect,
    Pace,
    Ready,
    Renew,
    Renewed,
    Said,
    Step,
    Wait,
    attempts,
    converse,
    converse_async,
)
from embedway_client.connection import Connections
from embedway_client.exchange import exchange, exchange_async
from embedway_client.refresh import Refresh
from embedway_upstream import Credentials
from embedway_upstream.credentials.renewal import Renewal

__all__ = ["Line"]

Request = TypeVar("Request")
Response = TypeVar("Response")


class Line:
    """
    One server's, for whatever it is asked. `seconds` bounds one attempt, `headers` are sent with
    each, `retries` are made after the first. With `renews`, refused credentials are renewed.
    """

    def __init__(
        self,
        credentials: Credentials,
        connections: Connections,
        *,
        seconds: float,
        retries: int,
        headers: Mapping[str, str],
        renews: bool,
        pace: Pace,
    ) -> None:
        self._connections = connections
        self._seconds = seconds
        self._retries = retries
        self._headers = headers
        self._renews = renews
        self._pace = pace
        self._refresh = Refresh(credentials)
        self._renewal = Renewal(credentials)

    def ask(
        self, dialect: Dialect[Request, Response], request: Request, *, once: bool = False
    ) -> Answer[Response]:
        """The answer, tried for again where that can help, unless `once`; `EmbeddingError`."""
        retries = 0 if once else self._retries
        jitter = self._pace.jitter
        steps = attempts(dialect, request, retries=retries, jitter=jitter, renews=self._renews)
        return converse(steps, self._act)

    async def aask(
        self, dialect: Dialect[Request, Response], request: Request, *, once: bool = False
    ) -> Answer[Response]:
        """Like `ask`, on the running event loop."""
        retries = 0 if once else self._retries
        jitter = self._pace.jitter
        steps = attempts(dialect, request, retries=retries, jitter=jitter, renews=self._renews)
        return await converse_async(steps, self._aact)

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()

    async def aclose(self) -> None:
        """Close the connections; those of the running event loop before this returns."""
        await self._connections.aclose()

    def _act(self, step: Step) -> Said:
        match step:
            case Wait(seconds):
                self._pace.sleep(seconds)
                return None
            case Ready():
                self._refresh.ready()
                return self._refresh.forced
            case Renew(seen):
                return self._refresh.renew(seen)
            case Renewed(status):
                self._refresh.rest.after(status)
                return None
        client = self._connections.client()
        return exchange(client, step, headers=self._headers, seconds=self._seconds)

    async def _aact(self, step: Step) -> Said:
        match step:
            case Wait(seconds):
                await self._pace.async_sleep(seconds)
                return None
            case Ready():
                await self._renewal.ready()
                return self._renewal.forced
            case Renew(seen):
                return await self._renewal.renew(seen)
            case Renewed(status):
                self._renewal.rest.after(status)
                return None
        client = await self._connections.async_client()
        return await exchange_async(client, step, headers=self._headers, seconds=self._seconds)
