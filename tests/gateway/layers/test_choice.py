"""How the traffic is divided between upstreams that are well."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable

import pytest

from doubles.time import Time
from embedway_gateway.layers.route import Route, Target
from embedway_upstream import EmbeddingRequest, EmbeddingResponse
from embedway_upstream.testing import FakeEmbedder

REQUEST = EmbeddingRequest("m", ("a",))
Embed = Target[EmbeddingRequest, EmbeddingResponse]
Router = Route[EmbeddingRequest, EmbeddingResponse]


class Slow(FakeEmbedder):
    """Takes `seconds`, in simulated time."""

    def __init__(self, name: str, time: Time, seconds: float) -> None:
        super().__init__(name=name)
        self.time, self.seconds = time, seconds

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        self.time.now += self.seconds
        return await super().send(request)


class Held(FakeEmbedder):
    """Answers when it is let go."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.go = asyncio.Event()

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        self.requests.append(request)
        await self.go.wait()
        return await super().send(request)


def target(name: str) -> Embed:
    return Target(name, FakeEmbedder(name=name))


def route(*targets: Embed, time: Callable[[], float] | None = None) -> Router:
    return Route(targets, clock=time or Time(), dice=random.Random(7))


async def served(route: Router, count: int) -> Counter[str]:
    return Counter([(await route.send(REQUEST)).served_by for _ in range(count)])


async def test_equals_share_the_traffic() -> None:
    counts = await served(route(target("a"), target("b"), target("c")), 900)

    assert all(250 <= counts[name] <= 350 for name in "abc")


@pytest.mark.parametrize("seconds", [0.0, 0.01])
async def test_weights_divide_the_traffic_of_equals(seconds: float) -> None:
    time = Time()
    nine: Embed = Target("nine", Slow("nine", time, seconds), weight=9.0)
    one: Embed = Target("one", Slow("one", time, seconds), weight=1.0)

    counts = await served(route(nine, one, time=time), 1000)

    assert 870 <= counts["nine"] <= 930


async def test_weights_divide_the_calls_that_run() -> None:
    nine, one = Held("nine"), Held("one")
    targets = Target("nine", nine, weight=9.0), Target("one", one, weight=1.0)
    router = route(*targets)
    calls = [asyncio.create_task(router.send(REQUEST)) for _ in range(100)]
    await asyncio.sleep(0)

    assert 85 <= targets[0].in_flight <= 95

    nine.go.set()
    one.go.set()
    await asyncio.gather(*calls)
    assert (0, 0) == (targets[0].in_flight, targets[1].in_flight)


async def test_a_slower_one_gets_less_and_is_not_forgotten() -> None:
    time = Time()
    fast: Embed = Target("fast", Slow("fast", time, 0.01))
    slow: Embed = Target("slow", Slow("slow", time, 0.1))
    router = route(fast, slow, time=time)
    counts = await served(router, 300)

    assert 1 <= counts["slow"] <= 10

    time.now += 60
    assert 1 <= (await served(router, 20))["slow"]


async def test_what_hangs_is_asked_once_not_again_and_again() -> None:
    time, hanging = Time(), Held("hanging")
    router = route(Target("hanging", hanging), Target("b", Slow("b", time, 0.01)), time=time)
    calls = [asyncio.create_task(router.send(REQUEST)) for _ in range(200)]
    await asyncio.sleep(0)
    time.now += 300
    calls += [asyncio.create_task(router.send(REQUEST)) for _ in range(200)]
    await asyncio.sleep(0)

    assert len(hanging.requests) <= 2

    hanging.go.set()
    await asyncio.gather(*calls)


async def test_the_less_busy_of_two_is_chosen() -> None:
    held = [Held("a"), Held("b")]
    targets = [Target(one.name, one) for one in held]
    router = route(*targets)
    calls = [asyncio.create_task(router.send(REQUEST)) for _ in range(10)]
    await asyncio.sleep(0)

    assert [5, 5] == [one.in_flight for one in targets]

    for one in held:
        one.go.set()
    await asyncio.gather(*calls)
