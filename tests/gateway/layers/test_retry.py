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


@pytest.mark.parametrize("error", [UpstreamUnreachable, UpstreamFailed, BadReply, RateLimited])
async def test_what_may_pass_is_tried_again(error: type[EmbeddingError]) -> None:
    time, inner = Time(), FakeEmbedder(errors=[error("x"), error("x")])

    response = await retry(inner, time).send(REQUEST)

    assert "fake" == response.served_by
    assert 3 == len(inner.requests)
    assert [0.05, 0.1] == time.slept


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

    assert 1.19 < len(inner.requests) / sent < 1.205


def test_the_budget_refills_with_time_or_traffic_whichever_is_more() -> None:
    time = Time()
    budget = Budget(share=0.5, floor=2, window=5, clock=time)

    assert [True, True, False] == [budget.take() for _ in range(3)]
    time.now += 0.5
    assert [True, False] == [budget.take() for _ in range(2)]
    for _ in range(4):
        budget.request()
    time.now += 0.5
    assert [True, True, False] == [budget.take() for _ in range(3)]
    time.now += 1000
    assert [True] * 10 + [False] == [budget.take() for _ in range(11)]
