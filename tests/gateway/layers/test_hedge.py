"""A second upstream is asked when the first takes long, and nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doubles.turns import turns
from embedway_gateway.layers.breaker import Breaker
from embedway_gateway.layers.hedge import Hedge, Hedging, Outcome
from embedway_gateway.layers.limit import Fixed, Limit
from embedway_gateway.layers.retry import Budget, Retry
from embedway_gateway.layers.route import Route, Target
from embedway_upstream import (
    EmbeddingError,
    EmbeddingRequest,
    EmbeddingResponse,
    InvalidRequest,
    UpstreamFailed,
)
from embedway_upstream.embedding import InputType
from embedway_upstream.testing import FakeEmbedder

REQUEST = EmbeddingRequest("m", ("a",), "query")
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
            await stack.ask(kind)  # type: ignore[arg-type]
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
async def test_hedges_are_within_the_budget() -> None:
    stack = Stack(Runs("a", 1.5), Runs("b", 60.0), share=0.2)
    answers = await asyncio.gather(*(stack.ask() for _ in range(4)))
    assert (["a"] * 4, []) == (answers, stack.outcomes)

    slow = Stack(Runs("a", 1.5), Runs("b", 60.0), share=1.0)
    await asyncio.gather(*(slow.ask() for _ in range(4)))

    # Of four requests in the last second, about: those of a moment ago count less.
    assert 2 == len(slow.outcomes)
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
    stack.targets[0].breaker = breaker = Breaker()
    stack.targets[1].priority = 0
    for _ in range(4):
        await stack.ask()
        stack.targets[0].latency.last = 0.0
    assert "closed" == breaker.state(stack.loop.time())
    while breaker.state(stack.loop.time()) == "closed":
        await stack.ask()

    assert 5 == stack.inner[0].gone


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
