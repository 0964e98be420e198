"""How the size of a found model's vectors is learnt from its deployments."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from doubles.turns import turns
from embedway_gateway.config.schema import UpstreamConfig
from embedway_gateway.discovery import DiscoveredModel, Found
from embedway_gateway.drafts import Drafts
from embedway_upstream import UpstreamError, UpstreamRefused


def model(count: int, capabilities: Sequence[str] = ("embed",)) -> DiscoveredModel:
    """With so many deployments, the oldest first."""
    replicas = tuple(
        Found(
            name="m",
            engine="vllm",
            platform="oci",
            url=f"http://127.0.0.1/{number}",
            capabilities=frozenset(capabilities),  # type: ignore[arg-type]
            deployment=f"ocid{number}",
            source="here",
            state="ACTIVE",
        )
        for number in range(count)
    )
    return DiscoveredModel(name="m", aliases=(), replicas=replicas)


Answer = tuple[float, int | UpstreamError]
"""After so many seconds, the size of a vector or why there is none."""
HANGS: Answer = (60.0, UpstreamError("no answer in time", upstream="x"))


def fails(words: str) -> Answer:
    return 0.1, UpstreamError(words, upstream="x")


class Deployments:
    """The oldest first."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = answers
        self.asked: list[tuple[float, int]] = []
        """When, and which."""
        self.running = 0

    async def measure(self, upstream: UpstreamConfig, _model: str) -> int:
        number = int(str(upstream.url).rpartition("/")[2])
        self.asked.append((asyncio.get_running_loop().time(), number))
        seconds, answer = self.answers[number]
        self.running += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self.running -= 1
        if isinstance(answer, UpstreamError):
            raise answer
        return answer

    async def size(self, capabilities: Sequence[str] = ("embed",)) -> int | None:
        drafts = Drafts({"here": "login"}, self.measure)
        draft = await drafts.draft(model(len(self.answers), capabilities))
        return draft.config.dimensions


@turns
async def test_the_oldest_is_asked_alone_while_it_answers() -> None:
    deployments = Deployments((4.0, 8), (0.1, 9))

    assert 8 == await deployments.size()
    assert [(0.0, 0)] == deployments.asked


@turns
async def test_one_that_hangs_does_not_keep_the_model_from_being_served() -> None:
    deployments = Deployments(HANGS, HANGS, (0.1, 8))

    assert 8 == await deployments.size()
    assert [(0.0, 0), (5.0, 1), (10.0, 2)] == deployments.asked
    assert 0 == deployments.running


@turns
async def test_after_one_that_fails_the_next_is_asked_at_once() -> None:
    deployments = Deployments(fails("down"), (0.1, 8))

    assert 8 == await deployments.size()
    assert [(0.0, 0), (0.1, 1)] == deployments.asked


@turns
async def test_one_that_is_slow_is_still_heard_when_the_next_fails() -> None:
    deployments = Deployments((7.0, 8), fails("down"), HANGS)

    assert 8 == await deployments.size()
    assert 0 == deployments.running


@turns
async def test_where_all_fail_the_oldest_says_why() -> None:
    deployments = Deployments(HANGS, fails("the next"))

    with pytest.raises(UpstreamError, match="no answer in time"):
        await deployments.size()


@turns
async def test_whether_it_chats_only_the_oldest_can_tell() -> None:
    """Of one that may do either."""
    deployments = Deployments((0.1, UpstreamRefused("no embeddings", upstream="x")), (0.1, 8))

    assert None is await deployments.size(("embed", "chat"))
    assert [(0.0, 0)] == deployments.asked
