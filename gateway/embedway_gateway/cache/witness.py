"""Says under which name vectors may be cached now, if they may."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass

from embedway_gateway.cache.ledger import Ledger
from embedway_gateway.cache.store import Unavailable
from embedway_gateway.layers.canary import Canaries
from embedway_upstream import EmbeddingError

__all__ = ["Witness"]

_OFTEN = 300.0
_AGAIN = 10.0
_TRUSTED = 600.0


@dataclass(frozen=True, slots=True)
class _Facts:
    """What stands against the use of what was cached before, as soon as it changes."""

    fingerprint: str | None
    strays: int


class Witness:
    """
    Every five minutes beside the traffic, the model is asked for its canary vectors, and the ledger
    for the name that belongs to them. Until both have answered, and when they have not for ten
    minutes, there is no name, and so no use of the cache.

    `canaries` asks the upstream that defines the vector space. `strays` counts upstreams that had
    served and were then found to be of another space: what they left in the cache cannot be told
    from the rest, which is therefore given up.
    """

    def __init__(
        self,
        canaries: Callable[[], Awaitable[Canaries]],
        ledger: Ledger,
        *,
        fingerprint: Callable[[], str | None],
        strays: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._canaries = canaries
        self._ledger = ledger
        self._fingerprint = fingerprint
        self._strays = strays
        self._clock = clock
        self._settled: tuple[_Facts, str, float] | None = None
        self._given_up = 0
        self._due = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    def space(self) -> str | None:
        """The name; None where nothing may be read or stored."""
        now = self._clock()
        if self._settled is not None and self._settled[0] != self._facts():
            self._settled, self._due = None, now
        if now >= self._due and (self._asking is None or self._asking.done()):
            self._due = now + _OFTEN
            self._asking = asyncio.create_task(self._ask(), context=Context())
        if self._settled is None:
            return None
        _, name, since = self._settled
        return name if now - since <= _TRUSTED else None

    async def settled(self) -> None:
        """Wait for the asking that is under way, if any."""
        if self._asking is not None:
            await asyncio.wait([self._asking])

    def end(self) -> None:
        """Stop asking; nothing is used any more."""
        self._settled, self._due = None, float("inf")
        if self._asking is not None:
            self._asking.cancel()

    def _facts(self) -> _Facts:
        return _Facts(self._fingerprint(), self._strays())

    async def _ask(self) -> None:
        begun = self._clock()
        try:
            facts, name = await self._name()
        except (EmbeddingError, Unavailable):
            # Told by whoever failed: the upstream in readiness, the store in the log.
            self._due = self._clock() + _AGAIN
            return
        self._given_up = facts.strays
        self._settled = (facts, name, begun)

    async def _name(self) -> tuple[_Facts, str]:
        canaries = await self._canaries()
        # Now, because asking may have shown that the model is another.
        facts = self._facts()
        if facts.fingerprint is None:
            raise Unavailable
        renew = facts.strays != self._given_up
        name = await self._ledger.settle(facts.fingerprint, canaries, renew=renew)
        return facts, f"{facts.fingerprint}/{name}"
