"""Which upstream an attempt goes to."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable

import pytest

from doubles.time import Time
from embedway_gateway.layers.pace import Pace
from embedway_gateway.layers.route import Route, Target
from embedway_upstream import (
    BadReply,
    BadVector,
    EmbeddingError,
    EmbeddingRequest,
    EmbeddingResponse,
    InvalidRequest,
    RateLimited,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamUnreachable,
    WrongSpace,
)
from embedway_upstream.testing import FakeEmbedder
from embedway_upstream.trail import Trail

REQUEST = EmbeddingRequest("m", ("a",))
Embed = Target[EmbeddingRequest, EmbeddingResponse]
Router = Route[EmbeddingRequest, EmbeddingResponse]


class Held(FakeEmbedder):
    """Answers when it is let go."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.go = asyncio.Event()

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        self.requests.append(request)
        await self.go.wait()
        return await super().send(request)


def target(name: str, *errors: EmbeddingError, priority: int = 0, weight: float = 1.0) -> Embed:
    return Target(name, FakeEmbedder(name=name, errors=errors), priority=priority, weight=weight)


def route(*targets: Embed, time: Callable[[], float] | None = None) -> Router:
    return Route(targets, clock=time or Time(), dice=random.Random(7))


async def served(route: Router, count: int) -> Counter[str]:
    return Counter([(await route.send(REQUEST)).served_by for _ in range(count)])


async def failing(route: Router, trail: Trail | None = None) -> EmbeddingError:
    with pytest.raises(EmbeddingError) as caught:
        await route.send(EmbeddingRequest("m", ("a",), trail=trail))
    return caught.value


async def test_a_lower_priority_serves_only_when_the_better_one_rests() -> None:
    time = Time()
    first = target("first", UpstreamUnreachable("x"))
    router = route(target("spare", priority=1), first, time=time)
    await failing(router)

    assert {"spare": 5} == await served(router, 5)
    time.now += 5.0
    assert {"first": 5} == await served(router, 5)


async def test_five_failures_in_a_row_are_one_outage_and_a_broken_connection_is_one_of_them() -> (
    None
):
    class Broke(UpstreamUnreachable):
        reached = True

    ill = target("ill", *[UpstreamFailed("x")] * 3, *[Broke("x")] * 2)
    spare = target("spare", priority=1)
    router = route(ill, spare)
    for _ in range(5):
        await failing(router)

    assert {"spare": 3} == await served(router, 3)


async def test_half_open_gets_one_request() -> None:
    time, held = Time(), Held("ill")
    ill: Embed = Target("ill", held)
    ill.breaker.failed(time.now, time.now, at_once=True)
    router = route(ill, target("spare", priority=1), time=time)
    time.now += 5.0
    probe = asyncio.create_task(router.send(REQUEST))
    await asyncio.sleep(0)

    assert {"spare": 9} == await served(router, 9)

    held.go.set()
    await probe
    assert {"ill": 3} == await served(router, 3)


async def test_what_was_tried_is_avoided_while_there_is_another() -> None:
    router = route(*(target(name, *[UpstreamFailed("x")] * 9) for name in "abc"))
    trail = Trail()
    for _ in range(3):
        await failing(router, trail)

    assert {"a", "b", "c"} == set(trail.upstreams)
    assert not router.others(trail)

    await failing(router, trail)
    assert 4 == len(trail.upstreams)


async def test_where_all_rest_they_are_asked_all_the_same_the_best_first() -> None:
    dead = [target("a", *[UpstreamUnreachable("x")] * 9)]
    dead += [target("spare", *[UpstreamUnreachable("x")] * 9, priority=1)]
    router, trail = route(*dead), Trail()
    await failing(router)
    await failing(router)

    await failing(router, trail)
    await failing(router, trail)

    assert ["a", "spare"] == trail.upstreams


async def test_where_all_rest_a_success_ends_it() -> None:
    router = route(target("a", UpstreamUnreachable("x")))
    await failing(router)

    assert {"a": 2} == await served(router, 2)
    assert "closed" == router.targets[0].breaker.state(0)


async def test_the_callers_mistake_is_not_held_against_the_upstream() -> None:
    only = target("a", *[InvalidRequest("x")] * 9)
    router = route(only)
    for _ in range(9):
        await failing(router)

    assert "closed" == only.breaker.state(0)


async def test_who_asks_for_patience_is_given_it() -> None:
    time, busy = Time(), target("a", RateLimited("x", retry_after=7), priority=-1)
    router = route(busy, target("b"), time=time)
    error = await failing(router)

    assert error.retry_after is None, "the request can go elsewhere"
    assert {"b": 4} == await served(router, 4)
    time.now += 7
    assert {"a": 4} == await served(router, 4)


@pytest.mark.parametrize("kind", [RateLimited, UpstreamFailed])
async def test_patience_is_the_requests_where_there_is_nobody_else(
    kind: type[EmbeddingError],
) -> None:
    error = await failing(route(target("a", kind("x", retry_after=3))))

    assert 3 == error.retry_after


async def test_what_refuses_is_not_asked_again_but_another_is() -> None:
    alone = await failing(route(target("a", UpstreamRefused("x"))))
    together = await failing(
        route(target("a", UpstreamRefused("x")), target("b", UpstreamRefused("x")))
    )

    assert (0, None) == (alone.most_retries, together.most_retries)


async def test_what_would_be_refused_by_ourselves_is_not_chosen() -> None:
    quarantined = target("a", *[WrongSpace("x")] * 9, priority=-1)
    quarantined.ready = lambda: False
    router = route(quarantined, target("b"))

    assert {"b": 9} == await served(router, 9)


async def test_another_space_is_no_failure_nor_is_what_another_upstream_did() -> None:
    errors = [WrongSpace("x")] * 9 + [UpstreamUnreachable("x", upstream="reference")] * 9
    only = target("a", *errors)
    router = route(only)
    for _ in range(18):
        await failing(router)

    assert "closed" == only.breaker.state(0)


async def test_a_text_without_a_vector_is_no_failure_but_a_reply_without_any_is() -> None:
    first = target("first", *[BadVector("x", rows=[0])] * 9, *[BadReply("x")] * 5)
    router = route(first, target("spare", priority=1))
    for _ in range(9):
        await failing(router)
    assert "closed" == first.breaker.state(1000.0)

    for _ in range(5):
        await failing(router)
    assert {"spare": 3} == await served(router, 3)


async def test_what_another_outran_is_a_failure_and_slow() -> None:
    time, held = Time(), Held("a")
    only: Embed = Target("a", held)
    router = route(only, time=time)
    for _ in range(5):
        trail = Trail()
        call = asyncio.create_task(router.send(EmbeddingRequest("m", ("a",), trail=trail)))
        await asyncio.sleep(0)
        time.now += 1.5
        trail.outrun = True
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

    assert "open" == only.breaker.state(time.now)
    assert (1.5, 0) == (only.latency.last, only.in_flight)


async def test_a_tenancy_that_pauses_is_not_called() -> None:
    time = Time()
    pace = Pace("t", rate=9, clock=time)
    pace.refused(0, 5.0)
    paused = target("a")
    paused.pace = pace
    error = await failing(route(paused, time=time))

    assert 5.0 == error.retry_after
    assert {"b": 3} == await served(route(paused, target("b"), time=time), 3)


async def test_room_is_that_of_those_that_would_be_chosen() -> None:
    a, b, spare = target("a"), target("b"), target("c", priority=1)
    for one, slots in ((a, 3), (b, 4), (spare, 50)):
        one.slots = lambda slots=slots: slots  # type: ignore[misc]
    router = route(a, b, spare)
    assert 7 == router.slots()
    a.in_flight, b.in_flight, spare.in_flight = 3, 4, 49
    assert router.spare(Trail())
    spare.in_flight = 50
    assert not router.spare(Trail())
    a.breaker.failed(1000, 1000, at_once=True)

    assert 4 == router.slots()
