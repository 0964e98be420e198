"""A second upstream is asked when the first takes long, and nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doubles.race import Runs, Stack
from doubles.turns import turns
from embedway_gateway.layers.breaker import Breaker, Patience
from embedway_upstream import EmbeddingError, InvalidRequest, UpstreamFailed


@turns
async def test_a_quick_answer_is_not_hedged() -> None:
    stack = Stack(Runs("a", 0.9), Runs("b", 0.0))

    assert "a" == await stack.ask()
    assert [] == stack.outcomes
    await stack.require_nothing_left()


@turns
async def test_the_second_wins_and_the_first_is_hung_up_on() -> None:
    stack = Stack(Runs("a", 60.0), Runs("b", 0.5))

    assert "b" == await stack.ask()
    assert (1.5, ["won"], 1) == (stack.loop.time(), stack.outcomes, stack.inner[0].gone)
    current = asyncio.current_task()
    assert current is not None
    assert 0 == current.cancelling()
    await stack.require_nothing_left()


@turns
async def test_the_first_wins_and_the_second_is_hung_up_on() -> None:
    stack = Stack(Runs("a", 1.2), Runs("b", 60.0))

    assert "a" == await stack.ask()
    await stack.require_nothing_left()
    assert (["lost"], 1) == (stack.outcomes, stack.inner[1].gone)
    assert 1.2 == stack.loop.time()


@turns
async def test_both_fail_and_the_first_error_is_told() -> None:
    stack = Stack(
        Runs("a", 2.0, errors=[UpstreamFailed("first")]),
        Runs("b", 3.0, errors=[UpstreamFailed("second")]),
    )

    with pytest.raises(UpstreamFailed, match="first"):
        await stack.ask()

    assert (4.0, ["failed"]) == (stack.loop.time(), stack.outcomes)
    await stack.require_nothing_left()


@pytest.mark.parametrize("failing", [0, 1])
def test_one_fails_and_the_other_answers(failing: int) -> None:
    @turns
    async def run() -> None:
        inner = [Runs("a", 2.0), Runs("b", 3.0)]
        inner[failing]._errors.append(UpstreamFailed("x"))
        stack = Stack(*inner)

        assert inner[1 - failing].name == await stack.ask()
        await stack.require_nothing_left()

    run()


@turns
async def test_the_callers_mistake_is_told_at_once() -> None:
    stack = Stack(Runs("a", 2.0, errors=[InvalidRequest("x")]), Runs("b", 60.0))

    with pytest.raises(InvalidRequest):
        await stack.ask()

    assert 2.0 == stack.loop.time()
    await stack.require_nothing_left()


@turns
async def test_queries_wait_for_the_95th_percentile_and_documents_longer() -> None:
    a, b = Runs("a", 0.1), Runs("b", 0.0)
    stack = Stack(a, b)
    for kind in ("query", "document"):
        for _ in range(20):
            await stack.ask(kind)
    a.seconds, began = 60.0, stack.loop.time()

    await stack.ask("query")
    assert 0.1 == pytest.approx(stack.loop.time() - began)
    began = stack.loop.time()
    await stack.ask("document")
    assert 1.0 == pytest.approx(stack.loop.time() - began)


@turns
async def test_documents_wait_so_many_times_as_long() -> None:
    a = Runs("a", 0.5)
    stack = Stack(a, Runs("b", 0.0), patience=8.0)
    for _ in range(20):
        await stack.ask("document")
    a.seconds, began = 60.0, stack.loop.time()

    await stack.ask("document")
    assert 4.0 == pytest.approx(stack.loop.time() - began)


@turns
async def test_queries_wait_as_documents_do_where_only_a_fallback_is_left() -> None:
    a = Runs("a", 0.1)
    stack = Stack(a, Runs("b", 0.0), equals=False)
    for _ in range(20):
        await stack.ask("query")
    a.seconds, began = 60.0, stack.loop.time()

    await stack.ask("query")
    assert 1.0 == pytest.approx(stack.loop.time() - began)


@turns
async def test_what_hangs_does_not_raise_the_percentile() -> None:
    stack = Stack(Runs("a", 60.0), Runs("b", 0.1))
    stack.targets[0].breaker = Breaker(Patience(failures=999))
    for _ in range(20):
        await stack.ask("query")
    began = stack.loop.time()

    await stack.ask("query")
    assert 0.2 == pytest.approx(stack.loop.time() - began)


@turns
async def test_hedges_are_within_the_budget() -> None:
    stack = Stack(Runs("a", 1.5), Runs("b", 60.0), share=0.2)
    answers = await asyncio.gather(*(stack.ask() for _ in range(4)))
    assert (["a"] * 4, []) == (answers, stack.outcomes)

    slow = Stack(Runs("a", 1.5), Runs("b", 60.0), share=1.0)
    await asyncio.gather(*(slow.ask() for _ in range(4)))

    # Of four requests in the last ten seconds, about: those of a moment ago count less.
    assert 3 == len(slow.outcomes)
    await stack.require_nothing_left()


@turns
async def test_a_hedge_is_not_counted_as_a_request() -> None:
    stack = Stack(Runs("a", 2.0), Runs("b", 60.0), share=1.7)
    await stack.ask()

    assert 1 == len(stack.outcomes)
    assert not stack.budget.take()


@turns
async def test_nobody_is_asked_who_has_no_room_or_rests() -> None:
    stack = Stack(Runs("a", 2.0), Runs("b", 0.0))
    stack.targets[1].in_flight = 4
    assert "a" == await stack.ask()
    stack.targets[1].in_flight = 0
    stack.targets[1].breaker.failed(stack.loop.time(), stack.loop.time(), at_once=True)
    assert "a" == await stack.ask()

    assert [] == stack.outcomes


@turns
async def test_an_upstream_that_is_outrun_five_times_rests() -> None:
    stack = Stack(Runs("a", 60.0), Runs("b", 0.5))
    breaker, states = stack.targets[0].breaker, []
    for _ in range(5):
        states.append(breaker.state(stack.loop.time()))
        await stack.ask()

    assert ["closed"] * 5 == states
    assert ("open", 5) == (breaker.state(stack.loop.time()), stack.inner[0].gone)


def moments() -> Iterator[float]:
    """Before, between and after all that happens in two seconds."""
    yield from (place / 8 for place in range(20))


@pytest.mark.parametrize("after", list(moments()))
def test_a_caller_who_goes_away_leaves_nothing(after: float) -> None:
    @turns
    async def run() -> None:
        stack = Stack(Runs("a", 2.0), Runs("b", 1.0))
        call = asyncio.create_task(stack.ask())
        await asyncio.sleep(after)
        cancelled = call.cancel()
        ended = (await asyncio.gather(call, return_exceptions=True))[0]

        assert isinstance(ended, asyncio.CancelledError) is cancelled
        assert cancelled == (after <= 2.0)
        await stack.require_nothing_left()

    run()


@settings(max_examples=150, deadline=None)
@given(
    seconds=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    fails=st.tuples(st.booleans(), st.booleans()),
    timeout=st.integers(1, 12),
    turns_later=st.integers(0, 3),
)
def test_whatever_happens_together_nothing_is_left_and_no_cancellation_is_lost(
    seconds: tuple[int, int], fails: tuple[bool, bool], timeout: int, turns_later: int
) -> None:
    """Half seconds, so that much of it is in one moment."""

    @turns
    async def run() -> None:
        inner = [
            Runs(name, one / 2, errors=[UpstreamFailed(name)] if fail else [])
            for name, one, fail in zip("ab", seconds, fails, strict=True)
        ]
        stack = Stack(*inner)
        current = asyncio.current_task()
        assert current is not None
        told = "nothing"
        try:
            async with asyncio.timeout(timeout / 2):
                for _ in range(turns_later):
                    await asyncio.sleep(0)
                told = await stack.ask()
        except (TimeoutError, EmbeddingError) as error:
            told = type(error).__name__
        # Else our own cancellation would come out of a later await, or be taken for another's.
        assert 0 == current.cancelling()
        await stack.require_nothing_left()
        if not any(fails) and timeout > 2 * min(seconds) + 4:
            assert told in {"a", "b"}

    run()
