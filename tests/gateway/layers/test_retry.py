"""Retry and its budget, in simulated time."""

from __future__ import annotations

import pytest

from doubles.time import Time
from embedway_gateway.layers.retry import Budget, Retry
from embedway_upstream import (
    BadReply,
    EmbeddingError,
    EmbeddingRequest,
    EmbeddingResponse,
    InvalidRequest,
    RateLimited,
    UpstreamFailed,
    UpstreamUnreachable,
)
from embedway_upstream.testing import FakeEmbedder

REQUEST = EmbeddingRequest("m", ("a",))


def retry(
    inner: FakeEmbedder, time: Time, *, attempts: int = 3, budget: Budget | None = None
) -> Retry[EmbeddingRequest, EmbeddingResponse]:
    return Retry(
        inner,
        budget or Budget(clock=time),
        attempts=attempts,
        clock=time,
        sleep=time.sleep,
        jitter=lambda: 1.0,
    )


@pytest.mark.parametrize("error", [UpstreamUnreachable, UpstreamFailed, RateLimited])
async def test_what_may_pass_is_tried_again(error: type[EmbeddingError]) -> None:
    time, inner = Time(), FakeEmbedder(errors=[error("x"), error("x")])

    response = await retry(inner, time).send(REQUEST)

    assert "fake" == response.served_by
    assert 3 == len(inner.requests)
    assert [0.025, 0.05] == time.slept


async def test_a_bad_reply_may_be_an_accident_but_not_twice() -> None:
    time, inner = Time(), FakeEmbedder(errors=[BadReply("x")] * 2)

    with pytest.raises(BadReply):
        await retry(inner, time).send(REQUEST)

    assert 2 == len(inner.requests)


async def test_where_nobody_was_reached_the_next_is_asked_at_once_if_there_is_one() -> None:
    time, left = Time(), [True, False]
    inner = FakeEmbedder(errors=[UpstreamUnreachable("x"), UpstreamUnreachable("x")])
    layer: Retry[EmbeddingRequest, EmbeddingResponse] = Retry(
        inner,
        Budget(clock=time),
        others=lambda _trail: left.pop(0),
        clock=time,
        sleep=time.sleep,
        jitter=lambda: 1.0,
    )
    await layer.send(REQUEST)

    assert [0.05] == time.slept


async def test_attempts_know_who_failed_before() -> None:
    inner = FakeEmbedder(errors=[UpstreamFailed("x", upstream="a"), RateLimited("x", upstream="b")])
    await retry(inner, Time()).send(REQUEST)
    trail = inner.requests[-1].trail

    assert inner.requests[0].trail is None
    assert trail is not None
    assert ["a", "b"] == trail.upstreams


async def test_retries_are_counted() -> None:
    counted: list[None] = []
    time, inner = Time(), FakeEmbedder(errors=[UpstreamFailed("x")] * 2)
    layer: Retry[EmbeddingRequest, EmbeddingResponse] = Retry(
        inner,
        Budget(clock=time),
        clock=time,
        sleep=time.sleep,
        retried=lambda: counted.append(None),
    )
    await layer.send(REQUEST)

    assert 2 == len(counted)


async def test_the_callers_mistake_is_not_tried_again() -> None:
    time, inner = Time(), FakeEmbedder(errors=[InvalidRequest("x")])

    with pytest.raises(InvalidRequest):
        await retry(inner, time).send(REQUEST)

    assert 1 == len(inner.requests)


async def test_attempts_are_bounded_and_the_last_error_is_raised_bare() -> None:
    errors = [UpstreamFailed(str(number)) for number in range(5)]
    time, inner = Time(), FakeEmbedder(errors=errors)

    with pytest.raises(UpstreamFailed, match="2"):
        await retry(inner, time).send(REQUEST)

    assert 3 == len(inner.requests)


async def test_a_pause_that_was_asked_for_is_kept() -> None:
    time, inner = Time(), FakeEmbedder(errors=[RateLimited("x", retry_after=1.5)])

    await retry(inner, time).send(REQUEST)

    assert [1.5] == time.slept


async def test_a_long_pause_is_passed_on_to_the_caller() -> None:
    time, inner = Time(), FakeEmbedder(errors=[RateLimited("x", retry_after=30)])

    with pytest.raises(RateLimited):
        await retry(inner, time).send(REQUEST)

    assert [] == time.slept


async def test_nothing_is_begun_that_cannot_be_in_time() -> None:
    time, inner = Time(), FakeEmbedder(errors=[UpstreamFailed("x")])
    request = EmbeddingRequest("m", ("a",), deadline=time() + 0.01)

    with pytest.raises(UpstreamFailed):
        await retry(inner, time).send(request)

    assert 1 == len(inner.requests)


async def test_an_outage_is_not_amplified() -> None:
    """At 1,000 requests a second, each of which fails, there are 1.2 attempts a request."""
    time = Time()
    inner = FakeEmbedder(errors=[UpstreamFailed("x")] * 100_000)

    async def elsewhere(_seconds: float) -> None:
        """Others go on meanwhile: what one sleeps does not move the clock of all."""

    layer: Retry[EmbeddingRequest, EmbeddingResponse] = Retry(
        inner, Budget(clock=time), clock=time, sleep=elsewhere
    )
    sent = 10_000
    for _ in range(sent):
        with pytest.raises(UpstreamFailed):
            await layer.send(REQUEST)
        time.now += 0.001

    assert 1.18 < len(inner.requests) / sent < 1.2


def taken(budget: Budget, *, elsewhere: bool = False) -> int:
    count = 0
    while budget.take(elsewhere=elsewhere):
        count += 1
    return count


def test_a_floor_is_always_there_and_comes_back_with_time() -> None:
    time = Time()
    budget = Budget(share=0.5, floor=4, clock=time)

    assert 4 == taken(budget)
    time.now += 0.8
    # Half of what was taken has faded.
    assert 2 == taken(budget)
    time.now += 1000
    assert 4 == taken(budget), "nothing is saved up"


def test_a_share_of_the_latest_requests_is_there() -> None:
    time = Time()
    budget = Budget(share=0.5, floor=0, clock=time)
    for _ in range(100):
        budget.request()
    assert 50 == taken(budget)
    for _ in range(1000):
        budget.request()
    time.now += 100

    assert 5 == taken(budget), "ten a second came"


def test_while_another_is_well_what_ten_seconds_allow_may_go_at_once() -> None:
    time = Time()
    budget = Budget(share=0.0, floor=10, clock=time)

    assert 100 == taken(budget, elsewhere=True)
    assert 0 == taken(budget)
    time.now += 20
    assert 10 == taken(budget)
