"""A hedged stack over upstreams that take their time, for loops of `doubles.turns`."""

from __future__ import annotations

import asyncio

from embedway_gateway.layers.hedge import Hedge, Hedging, Outcome
from embedway_gateway.layers.limit import Fixed, Limit
from embedway_gateway.layers.retry import Budget, Retry
from embedway_gateway.layers.route import Route, Target
from embedway_upstream import EmbeddingRequest, EmbeddingResponse
from embedway_upstream.embedding import InputType
from embedway_upstream.testing import FakeEmbedder

Embed = Target[EmbeddingRequest, EmbeddingResponse]


class Runs(FakeEmbedder):
    """Takes `seconds`, and knows how many are with it; `gone` counts those that were hung up on."""

    def __init__(self, name: str, seconds: float, *, errors: list[Exception] | None = None) -> None:
        super().__init__(name=name, errors=errors or [])
        self.seconds = seconds
        self.running = self.gone = 0

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        self.running += 1
        try:
            await asyncio.sleep(self.seconds)
            return await super().send(request)
        except asyncio.CancelledError:
            self.gone += 1
            raise
        finally:
            self.running -= 1


class Stack:
    """Hedge → Retry → Route → Limit → the upstreams, of which the first is asked first."""

    def __init__(
        self, *inner: Runs, share: float = 9.0, attempts: int = 1, **hedging: float
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.inner = inner
        self.limits = [
            Limit(one, concurrency=Fixed(4), waiting=9, clock=self.loop.time) for one in inner
        ]
        self.targets: list[Embed] = [
            Target(one.name, limit, priority=place, slots=lambda: 4)
            for place, (one, limit) in enumerate(zip(inner, self.limits, strict=True))
        ]
        clock = self.loop.time
        route = Route(self.targets, clock=clock)
        self.budget = Budget(share=share, floor=0.0, clock=clock)
        retry: Retry[EmbeddingRequest, EmbeddingResponse] = Retry(
            route, self.budget, attempts=attempts, clock=clock
        )
        self.outcomes: list[Outcome] = []
        self.hedge = Hedge(
            retry,
            route.spare,
            self.budget,
            hedging=Hedging(**{"least": 1.0, **hedging}),  # type: ignore[arg-type]
            ended=self.outcomes.append,
            clock=clock,
        )

    async def ask(self, input_type: InputType = "query") -> str:
        request = EmbeddingRequest("m", ("a",), input_type)
        return (await self.hedge.send(request)).served_by

    async def require_nothing_left(self) -> None:
        """Neither tasks, nor slots, nor calls."""
        for _ in range(5):
            await asyncio.sleep(0)
        assert {asyncio.current_task()} == asyncio.all_tasks()
        assert [0] * len(self.inner) == [one.running for one in self.inner]
        assert [0] * len(self.inner) == [one.in_flight for one in self.targets]
        assert [0] * len(self.inner) == [one._running for one in self.limits]
