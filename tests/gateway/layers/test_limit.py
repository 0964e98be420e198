"""How many calls of an upstream run, and what becomes of the rest."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doubles.turns import turns
from embedway_gateway.layers.limit import Fixed, Limit
from embedway_upstream import (
    DeadlineExceeded,
    EmbeddingRequest,
    EmbeddingResponse,
    Overloaded,
    UpstreamFailed,
)
from embedway_upstream.testing import FakeEmbedder

REQUEST = EmbeddingRequest("m", ("a",))


class Gate(FakeEmbedder):
    """Answers when it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = asyncio.Event()
        self.running = 0
        self.most = 0

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.opened.wait()
            return await super().send(request)
        finally:
            self.running -= 1


async def started(*tasks: asyncio.Task[EmbeddingResponse]) -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_more_than_allowed_run_and_the_rest_wait() -> None:
    gate = Gate()
    limit = Limit(gate, concurrency=Fixed(3), waiting=10)
    tasks = [asyncio.create_task(limit.send(REQUEST)) for _ in range(8)]
    await started(*tasks)
    gate.opened.set()
    await asyncio.gather(*tasks)

    assert 3 == gate.most
    assert 8 == len(gate.requests)


async def test_more_than_may_wait_are_refused_at_once() -> None:
    gate = Gate()
    limit = Limit(gate, concurrency=Fixed(1), waiting=1)
    tasks = [asyncio.create_task(limit.send(REQUEST)) for _ in range(2)]
    await started(*tasks)

    with pytest.raises(Overloaded):
        await limit.send(REQUEST)

    gate.opened.set()
    await asyncio.gather(*tasks)


async def test_nobody_waits_past_the_deadline() -> None:
    gate = Gate()
    limit = Limit(gate, concurrency=Fixed(1), waiting=9, clock=lambda: 100.0)
    first = asyncio.create_task(limit.send(REQUEST))
    await started(first)

    with pytest.raises(DeadlineExceeded):
        await limit.send(EmbeddingRequest("m", ("a",), deadline=100.0))

    gate.opened.set()
    await first


async def test_a_slot_comes_back_after_an_error_and_after_a_cancelled_wait() -> None:
    gate = Gate()
    limit = Limit(gate, concurrency=Fixed(1), waiting=9)
    gate._errors = [UpstreamFailed("x")]
    first = asyncio.create_task(limit.send(REQUEST))
    second = asyncio.create_task(limit.send(REQUEST))
    await started(first, second)
    second.cancel()
    gate.opened.set()
    with pytest.raises(UpstreamFailed):
        await first

    assert "fake" == (await limit.send(REQUEST)).served_by


class Slow(Gate):
    """Takes two seconds."""

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(2.0)
            return await FakeEmbedder.send(self, request)
        finally:
            self.running -= 1


@turns
async def test_who_came_first_is_served_first() -> None:
    slow = Slow()
    limit = Limit(slow, concurrency=Fixed(2), waiting=99)
    await asyncio.gather(*(limit.send(EmbeddingRequest("m", (f"{n}",))) for n in range(9)))

    assert [f"{n}" for n in range(9)] == [one.inputs[0] for one in slow.requests]


@turns
async def test_what_would_wait_beyond_its_deadline_is_refused_at_once() -> None:
    loop = asyncio.get_running_loop()
    limit = Limit(Slow(), concurrency=Fixed(1), waiting=99, clock=loop.time)
    for _ in range(60):
        await limit.send(REQUEST)
    calls = [asyncio.create_task(limit.send(REQUEST)) for _ in range(5)]
    await asyncio.sleep(0)
    began = loop.time()

    with pytest.raises(Overloaded) as caught:
        await limit.send(EmbeddingRequest("m", ("late",), deadline=began + 8.0))

    assert not isinstance(caught.value, DeadlineExceeded)
    assert caught.value.retry_after == pytest.approx(5.0, rel=0.01)
    assert began == loop.time()
    await limit.send(EmbeddingRequest("m", ("in time",), deadline=began + 12.0))
    await asyncio.gather(*calls)


@turns
async def test_a_limit_that_grows_lets_more_in_and_one_that_shrinks_fewer() -> None:
    @dataclass
    class Changing:
        limit: int

    slow, changing = Slow(), Changing(1)
    limit = Limit(slow, concurrency=changing, waiting=99)
    calls = [asyncio.create_task(limit.send(REQUEST)) for _ in range(20)]
    await asyncio.sleep(1.0)
    assert 1 == slow.running
    changing.limit = 4
    await asyncio.sleep(2.0)
    assert 4 == slow.running
    changing.limit = 2
    await asyncio.sleep(2.0)
    assert 2 == slow.running
    await asyncio.gather(*calls)


@settings(max_examples=150, deadline=None)
@given(
    slots=st.integers(1, 3),
    callers=st.lists(
        st.tuples(
            st.integers(0, 6), st.none() | st.integers(0, 12), st.none() | st.integers(0, 12)
        ),
        max_size=12,
    ),
)
def test_whoever_goes_away_and_whenever_no_slot_is_lost(
    slots: int, callers: list[tuple[int, int | None, int | None]]
) -> None:
    """Of each caller: when it comes, its deadline and when it goes away, in seconds."""

    @turns
    async def run() -> None:
        slow = Slow()
        clock = asyncio.get_running_loop().time
        limit = Limit(slow, concurrency=Fixed(slots), waiting=99, clock=clock)

        async def come(at: int, deadline: int | None) -> None:
            await asyncio.sleep(at)
            await limit.send(EmbeddingRequest("m", ("a",), deadline=deadline))

        tasks = []
        for at, deadline, leaves in callers:
            tasks.append(asyncio.create_task(come(at, deadline)))
            if leaves is not None:
                asyncio.get_running_loop().call_at(leaves, tasks[-1].cancel)
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            assert ended is None or isinstance(ended, Overloaded | asyncio.CancelledError)

        assert (0, 0) == (limit._running, len(limit._waiting))
        assert slow.most <= slots

    run()
