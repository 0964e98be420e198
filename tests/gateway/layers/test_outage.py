"""What a crowd of callers sees, and what upstreams get, while some or all of these are down."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from doubles.turns import turns
from embedway_gateway.layers.bound import Bounds
from embedway_gateway.layers.capacity import Capacity
from embedway_gateway.layers.coalesce import Coalesce
from embedway_gateway.layers.concurrency import Adaptive
from embedway_gateway.layers.hedge import Hedge
from embedway_gateway.layers.learn import Learn, texts_of
from embedway_gateway.layers.limit import Limit
from embedway_gateway.layers.retry import Budget, Retry
from embedway_gateway.layers.route import Route, Target
from embedway_gateway.layers.split import Split
from embedway_gateway.layers.timeout import Timeout
from embedway_upstream import (
    EmbeddingError,
    EmbeddingRequest,
    EmbeddingResponse,
    UpstreamFailed,
    UpstreamUnreachable,
)
from embedway_upstream.testing import FakeEmbedder


class Replica(FakeEmbedder):
    """Is `well`, `refusing`, `hanging` or `failing`; `attempts` counts what it was sent."""

    def __init__(self, name: str, mood: str = "well") -> None:
        super().__init__(name=name)
        self.mood = mood
        self.attempts = 0

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        self.attempts += 1
        match self.mood:
            case "refusing":
                await asyncio.sleep(0.001)
                raise UpstreamUnreachable("x", upstream=self.name)
            case "failing":
                await asyncio.sleep(0.005)
                raise UpstreamFailed("x", upstream=self.name)
            case "hanging":
                await asyncio.sleep(3600)
        await asyncio.sleep(0.02)
        return await super().send(request)


class World:
    """The layers from Coalesce to Timeout over so many replicas."""

    def __init__(self, *replicas: Replica, timeout: float = 55.0) -> None:
        clock = asyncio.get_running_loop().time
        self.clock = clock
        self.replicas = replicas
        dice = random.Random(3)
        targets = []
        for one in replicas:
            capacity, limit = Capacity(seconds=timeout), Adaptive(most=32)
            timed = Timeout(one, seconds=timeout, upstream=one.name, clock=clock)
            learn = Learn(timed, capacity, texts_of, concurrency=limit, clock=clock)
            targets.append(
                Target(
                    one.name,
                    Limit(learn, concurrency=limit, waiting=999, clock=clock),
                    capacity=capacity,
                    slots=lambda limit=limit: limit.limit,  # type: ignore[misc]
                )
            )
        self.route = route = Route(targets, clock=clock, dice=dice)
        budget = Budget(clock=clock)
        retry: Retry[EmbeddingRequest, EmbeddingResponse] = Retry(
            route, budget, others=route.others, clock=clock, jitter=dice.random
        )
        hedge = Hedge(retry, route.spare, budget, clock=clock)
        split = Split(hedge, lambda: Bounds().least(route.bounds()), budget, clock=clock)
        self.top = Coalesce(split, route, budget, clock=clock)
        self.errors: Counter[str] = Counter()
        self.seconds: list[tuple[float, float]] = []
        self._asked = 0

    @property
    def attempts(self) -> int:
        return sum(one.attempts for one in self.replicas)

    async def ask(self) -> None:
        self._asked += 1
        begun = self.clock()
        try:
            await self.top.send(
                EmbeddingRequest("m", (f"text {self._asked}",), "query", None, begun + 10)
            )
        except EmbeddingError as error:
            self.errors[type(error).__name__] += 1
        self.seconds.append((begun, self.clock() - begun))

    async def steady(self, seconds: float, rate: float) -> int:
        """So many requests a second, whatever becomes of them; gives their number."""
        count, tasks = int(seconds * rate), []
        for _ in range(count):
            tasks.append(asyncio.create_task(self.ask()))
            await asyncio.sleep(1 / rate)
        await asyncio.gather(*tasks)
        return count

    async def crowd(self, callers: int, seconds: float) -> None:
        """So many callers, each of whom asks again when it has an answer."""
        end = self.clock() + seconds

        async def call() -> None:
            while self.clock() < end:
                await self.ask()

        await asyncio.gather(*(call() for _ in range(callers)))


@pytest.mark.parametrize("mood", ["refusing", "failing", "hanging"])
@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize("warm", [False, True])
def test_a_full_outage_is_not_amplified(mood: str, replicas: int, warm: bool) -> None:
    @turns
    async def run() -> None:
        all_of_them = [Replica(f"r{n}") for n in range(replicas)]
        world = World(*all_of_them, timeout=0.5)
        if warm:
            await world.steady(3, 100)
        for one in all_of_them:
            one.mood, one.attempts = mood, 0
        requests = await world.steady(12, 100)

        assert world.errors.total() == requests
        assert world.attempts <= 1.2 * requests

    run()


@pytest.mark.parametrize("mood", ["refusing", "failing", "hanging"])
def test_a_cold_start_against_one_of_three_that_is_ill_loses_nothing(mood: str) -> None:
    @turns
    async def run() -> None:
        world = World(Replica("a", mood), Replica("b"), Replica("c"))
        await world.crowd(16, 5)

        assert not world.errors
        assert 1 <= world.replicas[0].attempts <= 20

    run()


@turns
async def test_one_of_three_refuses_and_one_hangs() -> None:
    world = World(Replica("a", "refusing"), Replica("b", "hanging"), Replica("c"))
    await world.crowd(16, 5)
    later = sorted(took for begun, took in world.seconds if begun > 1.0)

    assert not world.errors
    assert later[int(len(later) * 0.99)] <= 2 * 0.02 + 0.001


@pytest.mark.parametrize("mood", ["refusing", "failing", "hanging"])
def test_one_of_three_that_falls_ill_under_load_loses_nothing(mood: str) -> None:
    @turns
    async def run() -> None:
        world = World(*(Replica(name) for name in "abc"))
        await world.crowd(24, 2)
        world.replicas[0].mood = mood
        await world.crowd(24, 2)

        assert not world.errors

        world.replicas[0].mood, world.replicas[0].attempts = "well", 0
        await world.crowd(2, 60)
        assert not world.errors
        assert world.replicas[0].attempts > 100, "it is used again"

    run()
