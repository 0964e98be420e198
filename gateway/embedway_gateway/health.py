"""Asks upstreams that rest whether they are ready again, each in its own engine's way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from embedway_gateway.model import Model, UpstreamState
from embedway_upstream import EmbeddingError, Endpoint, Transport
from embedway_upstream.credentials.renewal import Renewal
from embedway_upstream.inquiry import readiness

__all__ = ["Health"]

_SECONDS = 5.0


class Health:
    """
    Whoever says that it is ready gets its half-open probe at once, and serves if that succeeds: a
    server may be ready that still refuses what we ask. Where the engine has no such question, or
    the platform carries none to it, the probe comes when the breaker's rest is over.

    Upstreams that serve are not asked: their answers say more.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        transport: Transport,
        *,
        every: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._models = models
        self._transport = transport
        self._every = every
        self._clock = clock
        self._sleep = sleep

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._sleep(self._every())
            await self.look()

    async def look(self) -> None:
        """Ask those that rest now, all at once."""
        now = self._clock()
        states = [
            state
            for model in self._models.values()
            for state in model.upstreams
            if state.target.breaker.state(now) == "open"
        ]
        await asyncio.gather(*(self._ask(state) for state in states))

    async def _ask(self, state: UpstreamState) -> None:
        endpoint = state.leaf.endpoint
        if endpoint is not None and await self._is_ready(endpoint):
            state.target.breaker.try_now(self._clock())

    async def _is_ready(self, endpoint: Endpoint) -> bool:
        try:
            async with asyncio.timeout(_SECONDS):
                await Renewal(endpoint.credentials).ready()
                question = readiness(endpoint)
                if question is None:
                    return False
                return (await self._transport.send(question.call)).status == 200
        except (EmbeddingError, TimeoutError):
            return False
