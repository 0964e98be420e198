"""Which upstream an attempt goes to."""

from __future__ import annotations

from collections import Counter

import pytest

from doubles.time import Time
from embedway_gateway.layers.route import Route, Target
from embedway_upstream import (
    EmbeddingRequest,
    EmbeddingResponse,
    InvalidRequest,
    RateLimited,
    UpstreamFailed,
)
from embedway_upstream.testing import FakeEmbedder

REQUEST = EmbeddingRequest("m", ("a",))
Embed = Target[EmbeddingRequest, EmbeddingResponse]


def target(name: str, errors: int = 0, *, priority: int = 0, weight: float = 1.0) -> Embed:
    inner = FakeEmbedder(name=name, errors=[UpstreamFailed("x")] * errors)
    return Target(name, inner, priority=priority, weight=weight)


async def served(route: Route[EmbeddingRequest, EmbeddingResponse], count: int) -> Counter[str]:
    return Counter([(await route.send(REQUEST)).served_by for _ in range(count)])


async def test_equals_take_turns() -> None:
    route = Route([target("a"), target("b"), target("c")], clock=Time())

    assert {"a": 10, "b": 10, "c": 10} == await served(route, 30)


async def test_weights_divide_the_traffic() -> None:
    route = Route([target("a", weight=3), target("b")], clock=Time())

    counts = await served(route, 400)

    assert 280 <= counts["a"] <= 320


async def test_a_lower_priority_serves_only_when_the_better_one_rests() -> None:
    time = Time()
    route = Route([target("spare", priority=1), target("first", errors=1)], clock=time)

    with pytest.raises(UpstreamFailed):
        await route.send(REQUEST)
    assert {"spare": 5} == await served(route, 5)
    time.now += 1.0
    assert {"first": 5} == await served(route, 5)


async def test_rest_doubles_with_each_failure_and_ends_with_a_success() -> None:
    time = Time()
    only = target("a", errors=3)
    route = Route([only], clock=time)

    for rest in (1.0, 2.0, 4.0):
        with pytest.raises(UpstreamFailed):
            await route.send(REQUEST)
        assert rest == only.resting_until - time.now
        time.now += rest
    await route.send(REQUEST)
    assert 0 == only.failures


async def test_when_all_rest_the_best_is_asked_all_the_same() -> None:
    route = Route([target("a", errors=1), target("spare", errors=1, priority=1)], clock=Time())
    for _ in range(2):
        with pytest.raises(UpstreamFailed):
            await route.send(REQUEST)

    assert {"a": 1} == await served(route, 1)


async def test_the_callers_mistake_is_not_held_against_the_upstream() -> None:
    inner = FakeEmbedder(name="a", errors=[InvalidRequest("x")])
    only: Embed = Target("a", inner)
    route = Route([only], clock=Time())

    with pytest.raises(InvalidRequest):
        await route.send(REQUEST)

    assert 0.0 == only.resting_until


async def test_who_asks_for_patience_is_given_it() -> None:
    time = Time()
    inner = FakeEmbedder(name="a", errors=[RateLimited("x", retry_after=7)])
    busy: Embed = Target("a", inner)
    route = Route([busy, target("b")], clock=time)
    with pytest.raises(RateLimited):
        await route.send(REQUEST)

    assert 7.0 == busy.resting_until - time.now
    assert {"b": 4} == await served(route, 4)


async def test_calls_that_fail_together_are_one_failure() -> None:
    time = Time()
    only = target("a", errors=12)
    route = Route([only], clock=time)
    for _ in range(12):
        with pytest.raises(UpstreamFailed):
            await route.send(REQUEST)

    assert 1.0 == only.resting_until - time.now


async def test_a_long_outage_stays_an_outage() -> None:
    time = Time()
    only = target("a", errors=3000)
    route = Route([only], clock=time)
    for _ in range(3000):
        with pytest.raises(UpstreamFailed):
            await route.send(REQUEST)
        time.now += 60

    assert only.resting_until - time.now < 0


async def test_a_wait_that_one_asks_for_is_not_the_requests_while_another_is_awake() -> None:
    inner = FakeEmbedder(name="a", errors=[RateLimited("x", retry_after=30)])
    busy: Embed = Target("a", inner)
    route = Route([busy, target("b")], clock=Time())

    with pytest.raises(RateLimited) as caught:
        await route.send(REQUEST)

    assert caught.value.retry_after is None
