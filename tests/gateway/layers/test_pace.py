"""One pace for a tenancy, in simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubles.time import Time
from embedway_gateway.layers.pace import Pace, Paced
from embedway_gateway.layers.retry import Budget, Retry
from embedway_gateway.layers.route import Route, Target
from embedway_upstream import (
    EmbeddingRequest,
    EmbeddingResponse,
    RateLimited,
    UpstreamFailed,
)
from embedway_upstream.platforms.error import PlatformLimited
from embedway_upstream.testing import FakeEmbedder

REQUEST = EmbeddingRequest("m", ("a",))
Embed = Target[EmbeddingRequest, EmbeddingResponse]


def pace_of(time: Time, *, rate: float = 150.0, jitter: float = 1.0) -> Pace:
    return Pace("prod", rate=rate, clock=time, sleep=time.sleep, jitter=lambda: jitter)


def limited(retry_after: float | None = None, scope: str = "tenancy") -> PlatformLimited:
    return PlatformLimited("x", scope=scope, retry_after=retry_after)  # type: ignore[arg-type]


def target(
    name: str, pace: Pace | None, errors: Sequence[Exception] = (), *, priority: int = 0
) -> Embed:
    inner = FakeEmbedder(name=name, errors=errors)
    return Target(name, inner if pace is None else Paced(inner, pace), pace=pace, priority=priority)


@given(st.lists(st.floats(0, 3), min_size=1, max_size=200), st.floats(0.5, 200))
def test_never_more_than_the_rate_and_a_burst(pauses: list[float], rate: float) -> None:
    time = Time()
    pace = pace_of(time, rate=rate)
    turns = []

    async def ask() -> None:
        for pause in pauses:
            time.now += pause if pause > 1 else 0.0
            await pace.turn(None)
            turns.append(time.now)

    asyncio.run(ask())

    burst = max(1.0, rate * 0.1)
    for first, begin in enumerate(turns):
        for last in range(first, len(turns)):
            count = last - first + 1
            assert count <= rate * (turns[last] - begin) + burst + 0.001


async def test_a_momentarily_empty_bucket_is_waited_for_in_order() -> None:
    time = Time()
    pace = pace_of(time, rate=10.0)
    order = []

    async def ask(number: int) -> None:
        await pace.turn(None)
        order.append(number)

    await asyncio.gather(*(ask(number) for number in range(6)))

    assert list(range(6)) == order
    assert pytest.approx(0.5) == time.now - 1000.0


async def test_who_comes_later_does_not_overtake() -> None:
    time = Time()
    gate = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        await gate.wait()

    pace = Pace("prod", rate=1.0, clock=time, sleep=sleep)
    await pace.turn(None)
    order = []

    async def ask(name: str) -> None:
        await pace.turn(None)
        order.append(name)
        time.now += 1.0

    first = asyncio.create_task(ask("first"))
    await asyncio.sleep(0)
    time.now += 1.0
    second = asyncio.create_task(ask("second"))
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, second)

    assert ["first", "second"] == order


async def test_a_turn_after_the_deadline_is_refused_at_once() -> None:
    time = Time()
    pace = pace_of(time, rate=1.0)
    await pace.turn(None)

    with pytest.raises(RateLimited) as caught:
        await pace.turn(time.now + 0.5)

    assert pytest.approx(1.0) == caught.value.retry_after
    assert [] == time.slept


async def test_a_waiter_that_goes_away_leaves_no_gap() -> None:
    time = Time()
    gate = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await gate.wait()
        time.now += seconds

    pace = Pace("prod", rate=1.0, clock=time, sleep=sleep)
    await pace.turn(None)
    waiting = [asyncio.create_task(pace.turn(None)) for _ in range(4)]
    await asyncio.sleep(0)
    for task in waiting[:3]:
        task.cancel()
    await asyncio.gather(*waiting[:3], return_exceptions=True)
    gate.set()
    await waiting[3]

    assert pytest.approx(1.0) == time.now - 1000.0


async def test_a_tenancys_429_pauses_all_that_share_the_pace() -> None:
    time = Time()
    pace = pace_of(time)
    one = Route([target("one", pace, [limited()])], clock=time)
    other_target = target("other", pace)
    other = Route([other_target], clock=time)
    elsewhere = Route([target("elsewhere", pace_of(time))], clock=time)

    with pytest.raises(RateLimited) as caught:
        await one.send(REQUEST)
    assert 0.5 == caught.value.retry_after
    time.now += 0.1
    with pytest.raises(RateLimited, match="pause") as caught:
        await other.send(REQUEST)

    assert pytest.approx(0.4) == caught.value.retry_after
    assert 0 == other_target.in_flight
    bare = FakeEmbedder()
    with pytest.raises(RateLimited, match="pause"):
        await Route([Target("bare", bare, pace=pace)], clock=time).send(REQUEST)
    # Refused before anything below Route counts it or makes it wait.
    assert [] == bare.requests
    assert "elsewhere" == (await elsewhere.send(REQUEST)).served_by
    time.now += 0.5
    assert "other" == (await other.send(REQUEST)).served_by


async def test_route_goes_elsewhere_while_a_tenancy_pauses() -> None:
    time = Time()
    pace = pace_of(time)
    failed = target("failed", None, [UpstreamFailed("x")], priority=1)
    route = Route([target("paused", pace), target("paused too", pace), failed], clock=time)
    pace.refused(0, 20.0)

    with pytest.raises(UpstreamFailed):
        await route.send(REQUEST)
    # It rests, but a call of it may succeed, and one of the others cannot.
    assert "failed" == (await route.send(REQUEST)).served_by


async def test_retry_waits_for_the_end_of_a_short_pause() -> None:
    time = Time()
    pace = pace_of(time)
    route = Route([target("one", pace, [limited()])], clock=time)
    retry = Retry(route, Budget(clock=time), clock=time, sleep=time.sleep)

    assert "one" == (await retry.send(REQUEST)).served_by
    # The pause, and the bucket, which is empty after it.
    assert pytest.approx([0.5, 1 / 150]) == time.slept


async def test_pauses_double_up_to_half_a_minute_and_halve_with_each_success() -> None:
    time = Time()
    pace = pace_of(time)
    pauses = []
    for _ in range(8):
        pauses.append(pace.refused(await pace.turn(None), None))
        time.now += pauses[-1] + 1
    assert [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] == pauses

    for _ in range(4):
        pace.answered(await pace.turn(None))
    assert 8.0 == pace.refused(await pace.turn(None), None)


async def test_calls_that_ran_together_are_one_pause() -> None:
    time = Time()
    pace = pace_of(time)
    begun = [await pace.turn(None) for _ in range(10)]

    assert {0.5} == {pace.refused(one, None) for one in begun}
    # Nor does the success of one of them say that the pause helped.
    pace.answered(begun[0])
    time.now += 1
    assert 1.0 == pace.refused(await pace.turn(None), None)


@pytest.mark.parametrize(("asked", "expected"), [(7.0, 7.0), (86_400.0, 300.0)])
async def test_the_platform_may_ask_for_a_pause(asked: float, expected: float) -> None:
    pace = pace_of(Time())

    assert expected == pace.refused(await pace.turn(None), asked)


async def test_those_who_wait_are_refused_when_a_pause_begins() -> None:
    time = Time()

    async def sleep(seconds: float) -> None:
        time.now += seconds
        pace.refused(0, 5.0)

    pace = Pace("prod", rate=1.0, clock=time, sleep=sleep)
    await pace.turn(None)
    waiting = [pace.turn(None) for _ in range(3)]
    answers = await asyncio.gather(*waiting, return_exceptions=True)

    assert [RateLimited] * 3 == [type(answer) for answer in answers]


async def test_the_bucket_is_empty_after_a_pause() -> None:
    time = Time()
    pace = pace_of(time, rate=10.0)
    pace.refused(await pace.turn(None), 3.0)
    time.now += 3.0

    await pace.turn(None)

    assert pytest.approx([0.1]) == time.slept


async def test_a_deployments_own_limit_is_not_the_tenancys() -> None:
    time = Time()
    pace = pace_of(time)
    route = Route([target("one", pace, [limited(scope="deployment")])], clock=time)

    with pytest.raises(RateLimited):
        await route.send(REQUEST)

    assert 0.0 == pace.paused_until
