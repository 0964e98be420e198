"""How many calls of an upstream run, and what becomes of the rest."""

from __future__ import annotations

import asyncio

import pytest

from embedway_gateway.layers.limit import Limit
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
    limit = Limit(gate, concurrency=3, waiting=10)
    tasks = [asyncio.create_task(limit.send(REQUEST)) for _ in range(8)]
    await started(*tasks)
    gate.opened.set()
    await asyncio.gather(*tasks)

    assert 3 == gate.most
    assert 8 == len(gate.requests)


async def test_more_than_may_wait_are_refused_at_once() -> None:
    gate = Gate()
    limit = Limit(gate, concurrency=1, waiting=1)
    tasks = [asyncio.create_task(limit.send(REQUEST)) for _ in range(2)]
    await started(*tasks)

    with pytest.raises(Overloaded):
        await limit.send(REQUEST)

    gate.opened.set()
    await asyncio.gather(*tasks)


async def test_nobody_waits_past_the_deadline() -> None:
    gate = Gate()
    limit = Limit(gate, concurrency=1, waiting=9, clock=lambda: 100.0)
    first = asyncio.create_task(limit.send(REQUEST))
    await started(first)

    with pytest.raises(DeadlineExceeded):
        await limit.send(EmbeddingRequest("m", ("a",), deadline=100.0))

    gate.opened.set()
    await first


async def test_a_slot_comes_back_after_an_error_and_after_a_cancelled_wait() -> None:
    gate = Gate()
    limit = Limit(gate, concurrency=1, waiting=9)
    gate._errors = [UpstreamFailed("x")]
    first = asyncio.create_task(limit.send(REQUEST))
    second = asyncio.create_task(limit.send(REQUEST))
    await started(first, second)
    second.cancel()
    gate.opened.set()
    with pytest.raises(UpstreamFailed):
        await first

    assert "fake" == (await limit.send(REQUEST)).served_by
