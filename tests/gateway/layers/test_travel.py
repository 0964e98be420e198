"""Who travels with whom, counted above calls that are held."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from doubles.held import World, settle
from embedway_gateway.layers.travel import Travel
from embedway_gateway.metric import Metrics
from embedway_gateway.phase import Sampled
from embedway_upstream import DeadlineExceeded, UpstreamFailed


class Queue:
    """Each wait that was seen."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def observe(self, amount: float) -> None:
        self.waits.append(amount)


class Seen(World):
    def __init__(self, **room: Any) -> None:
        super().__init__(**room)
        self.metrics, self.queue = Metrics(), Queue()
        self.traced: list[tuple[float, float]] = []
        self.travel = Travel(
            self.metrics,
            "m",
            queue=Sampled(self.queue),
            signed=True,
            traced=lambda begun, ended: self.traced.append((begun, ended)),
        )
        self.layer._onlooker = self.travel

    def counted(self) -> tuple[float, ...]:
        """Requests, calls and signatures that were saved."""
        self.travel._tell()
        names = ("coalesced_requests", "coalesced_calls", "signatures_saved")
        read = self.metrics.registry.get_sample_value
        return tuple(read(f"embedway_{name}_total", {"model": "m"}) or 0.0 for name in names)


async def test_a_request_that_leaves_at_once_is_one_call() -> None:
    seen = Seen()
    task = seen.ask("a", "b")
    await seen.inner.answer_all()
    await task

    assert (1, 1, 0) == seen.counted()
    assert [0.0] == seen.queue.waits
    assert [] == seen.traced


async def test_requests_share_a_call_and_each_waited_as_long_as_it_did() -> None:
    seen = Seen()
    await seen.busy()
    first = seen.ask("a")
    await settle()
    seen.time.now += 2.0
    second = seen.ask("b", "c")
    await settle()
    seen.time.now += 1.0
    seen.inner.running[0].answer()
    await seen.inner.answer_all()
    await asyncio.gather(first, second)

    assert (3, 2, 1) == seen.counted()
    assert [3.0, 1.0] == [round(ended - begun, 3) for begun, ended in seen.traced]


async def test_a_request_that_is_cut_is_one_with_several_calls() -> None:
    seen = Seen(max_inputs=2)
    task = seen.ask("a", "b", "c", "d", "e")
    await seen.inner.answer_all()
    await task

    assert (1, 3, 0) == seen.counted()


async def test_what_is_under_way_already_needs_no_call() -> None:
    seen = Seen(slots=4)
    first = seen.ask("a")
    await settle()
    second = seen.ask("a")
    await seen.inner.answer_all()
    await asyncio.gather(first, second)

    assert (2, 1, 1) == seen.counted()


async def test_who_gave_up_before_a_call_is_not_counted_as_saved() -> None:
    seen = Seen()
    await seen.busy()
    waiting, gone = seen.ask("a", deadline=seen.time.now + 0.01), seen.ask("b")
    await settle()
    gone.cancel()
    with pytest.raises(DeadlineExceeded):
        await waiting
    await seen.inner.answer_all()
    assert gone.cancelled()

    assert (1, 1, 0) == seen.counted()


async def test_a_call_that_failed_was_made_all_the_same() -> None:
    seen = Seen()
    await seen.busy()
    tasks = [seen.ask("a"), seen.ask("b")]
    await settle()
    seen.inner.running[0].answer()
    await settle()
    seen.inner.running[0].fail(UpstreamFailed("no"))
    await asyncio.gather(*tasks, return_exceptions=True)

    assert (3, 2, 1) == seen.counted()
