"""The public keys of an identity provider, as old as is allowed and no older."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import jwt
import msgspec

from embedway_upstream import EmbeddingError, HTTPCall
from embedway_upstream.engines.form import UNREADABLE
from embedway_upstream.flow import StreamTransport

__all__ = ["JWKS", "IssuerDown", "public_key"]

_log = logging.getLogger("embedway.gateway")

_SECONDS = 10.0
_MOST_BYTES = 512 * 1024
_MOST_KEYS = 100
# Between two questions: of unknown names of keys, and while there is nothing at all.
_PAUSE = 30.0
_SHORT = 1.0
# What can still be used while nobody answers.
_OLDEST = 24 * 3600.0


class IssuerDown(Exception):
    """The keys could not be had, so that nobody can tell whether a token is good."""


class JWKS:
    """
    Fetched when they are first needed, and again once they are `refresh` seconds old or one is
    asked for that is not among them. All that ask at once share one question, and made-up names of
    keys bring about no more than one in 30 seconds.
    """

    def __init__(
        self,
        url: str,
        transport: StreamTransport,
        *,
        refresh: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._transport = transport
        self._refresh = refresh
        self._clock = clock
        self._keys: dict[str | None, dict[str, object]] = {}
        self._fetched_at = -float("inf")
        self._tried_at = -float("inf")
        self._task: asyncio.Task[None] | None = None
        self.version = 0
        """Changes when the keys do."""

    async def find(self, name: str | None) -> dict[str, object] | None:
        """
        The key of that name, as it was published; without a name, the only one there is. None when
        there is none. Raises `IssuerDown` where that cannot be told.
        """
        if not self.usable():
            await self._ask()
            if not self.usable():
                raise IssuerDown
        found = self._named(name)
        if found is None and name is not None:
            await self._ask()
            found = self._named(name)
            if found is None and self._tried_at > self._fetched_at:
                # It may be a new one, which the issuer could not be asked about.
                raise IssuerDown
        return found

    def usable(self) -> bool:
        """Whether the keys are fresh enough; what is older than it should be is asked for again."""
        age = self._clock() - self._fetched_at
        if age > self._refresh and self._keys:
            # In the background: nobody waits for what is good enough.
            self._begin()
        return age <= _OLDEST

    async def close(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _named(self, name: str | None) -> dict[str, object] | None:
        if name is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(name)

    async def _ask(self) -> None:
        task = self._begin()
        if task is not None:
            # Shared: who is cancelled must not cancel it for the others.
            await asyncio.shield(task)

    def _begin(self) -> asyncio.Task[None] | None:
        if self._task is not None and not self._task.done():
            return self._task
        now = self._clock()
        if now - self._tried_at < (_PAUSE if self._keys else _SHORT):
            return None
        self._tried_at = now
        self._task = asyncio.create_task(self._fetch())
        return self._task

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(_SECONDS):
                call = HTTPCall("GET", self._url, {"accept": "application/json"}, b"")
                reply = await self._transport.open(call)
                body = await reply.body.read(_MOST_BYTES)
            keys = _read(body) if reply.status == 200 else {}
        except (EmbeddingError, TimeoutError, *UNREADABLE) as error:
            keys = {}
            _log.warning("the issuer's keys cannot be had (%s)", type(error).__name__)
        else:
            if not keys:
                _log.warning("the issuer's keys cannot be had (status %d)", reply.status)
        if not keys:
            return
        self._fetched_at = self._clock()
        if keys != self._keys:
            self._keys = keys
            self.version += 1


class _Document(msgspec.Struct):
    keys: list[dict[str, object]]


def _read(body: bytes) -> dict[str | None, dict[str, object]]:
    """Those that sign, by their names. A symmetric one is no public key, whatever it says."""
    found: dict[str | None, dict[str, object]] = {}
    for one in msgspec.json.decode(body, type=_Document).keys[:_MOST_KEYS]:
        name = one.get("kid")
        if one.get("kty") in {"RSA", "EC", "OKP"} and one.get("use", "sig") == "sig":
            found[name if isinstance(name, str) else None] = one
    return found


def public_key(published: dict[str, object], algorithm: str) -> jwt.PyJWK | None:
    """The key for that algorithm; None where it is not of its kind."""
    stated = published.get("alg")
    if stated is not None and stated != algorithm:
        return None
    try:
        return jwt.PyJWK(published, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        # Not all that a damaged key can bring about is an error of PyJWT's.
        return None
