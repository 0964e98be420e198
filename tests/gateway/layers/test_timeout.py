"""An attempt is bounded, and its end is not mistaken for another's."""

from __future__ import annotations

import asyncio
import time

import pytest

from embedway_gateway.layers.timeout import Timeout
from embedway_upstream import (
    BadReply,
    DeadlineExceeded,
    EmbeddingRequest,
    EmbeddingResponse,
    UpstreamTimeout,
)

ASKED = EmbeddingRequest("m", ("a text",))


class Hanging:
    async def send(self, _request: EmbeddingRequest) -> EmbeddingResponse:
        await asyncio.Event().wait()
        raise AssertionError


class Stubborn:
    """Answers its end with an error of its own."""

    async def send(self, _request: EmbeddingRequest) -> EmbeddingResponse:
        try:
            await asyncio.Event().wait()
        finally:
            raise BadReply("broken by the end")


async def test_a_call_that_hangs_is_a_timeout_of_its_upstream() -> None:
    with pytest.raises(UpstreamTimeout) as caught:
        await Timeout(Hanging(), seconds=0.001, upstream="up").send(ASKED)
    assert caught.value.upstream == "up"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_the_requests_deadline_is_told_as_such() -> None:
    late = EmbeddingRequest("m", ("a text",), deadline=time.monotonic() + 0.001)
    with pytest.raises(DeadlineExceeded):
        await Timeout(Hanging(), seconds=60, upstream="up").send(late)


async def test_a_deadline_that_has_passed_ends_the_attempt_at_once() -> None:
    late = EmbeddingRequest("m", ("a text",), deadline=time.monotonic() - 1)
    with pytest.raises(DeadlineExceeded):
        await Timeout(Hanging(), seconds=60, upstream="up").send(late)


async def test_who_is_cancelled_by_another_stays_cancelled() -> None:
    task = asyncio.create_task(Timeout(Hanging(), seconds=60, upstream="up").send(ASKED))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_at_the_end_leaves_nothing_of_the_interruption() -> None:
    with pytest.raises(BadReply):
        await Timeout(Stubborn(), seconds=0.001, upstream="up").send(ASKED)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)
