"""Signed GETs to a platform's own interfaces: refreshed, tried again, bounded, and explained."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from embedway_upstream import (
    BadReply,
    Credentials,
    EmbeddingError,
    HTTPCall,
    HTTPReply,
    Transport,
    UpstreamTimeout,
)
from embedway_upstream.credentials.renewal import Renewal

__all__ = ["Exchange"]

# A page of 100 deployments with every field full is under 1 MiB.
_MAX_BODY = 16 * 1024 * 1024
_ATTEMPTS = 3
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 10.0


Explain = Callable[[int, Mapping[str, str], bytes], EmbeddingError]


class Exchange:
    """
    `get` gives a 200 or raises the `EmbeddingError` that `explain` makes of another status.

    429 and 5xx are tried again twice, as the server asks; after a 401 the credentials are
    refreshed and the call is signed afresh, once.
    """

    def __init__(
        self,
        transport: Transport,
        credentials: Credentials,
        explain: Explain,
        *,
        timeout: float = 30.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._transport = transport
        self._credentials = credentials
        self._renewal = Renewal(credentials)
        self._explain = explain
        self._timeout = timeout
        self._sleep = sleep

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> HTTPReply:
        """One resource, whole."""
        renewed, attempt = False, 1
        while True:
            await self._renewal.ready()
            seen = self._renewal.forced
            reply = await self._once(url, headers or {})
            if reply.status == 200:
                return reply
            error = self._explain(reply.status, reply.headers, reply.body)
            if reply.status == 401 and not renewed and await self._renewal.renew(seen):
                renewed = True
                continue
            again = reply.status == 429 or reply.status >= 500
            wait = error.retry_after
            wait = _FIRST_WAIT * 2.0 ** (attempt - 1) if wait is None else wait
            if not again or attempt == _ATTEMPTS or wait > _LONGEST_WAIT:
                raise error
            await self._sleep(wait)
            attempt += 1

    async def _once(self, url: str, headers: Mapping[str, str]) -> HTTPReply:
        sent = {"accept": "application/json", **headers}
        sent.update(self._credentials.sign("GET", url, sent, b""))
        try:
            async with asyncio.timeout(self._timeout):
                reply = await self._transport.send(HTTPCall("GET", url, sent, b""))
        except TimeoutError:
            raise UpstreamTimeout("the platform's interface took too long") from None
        if len(reply.body) > _MAX_BODY:
            raise BadReply("the platform's reply is larger than any list of deployments")
        return reply
