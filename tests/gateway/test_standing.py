"""What the metrics show of upstreams that come, fail and go."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import served
from embedway_gateway.assemble import put_together
from embedway_gateway.config.schema import Config
from embedway_gateway.metric import Metrics
from embedway_gateway.model import Model, Models
from embedway_gateway.transport import AiohttpTransport
from embedway_upstream import EmbeddingRequest, HTTPCall


class World:
    """One gateway's metrics, and the models that it serves by turns."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.transport = AiohttpTransport()
        self.models = Models([])

    def built(self, *names: str, **more: Any) -> Model:
        """A model `m` with these upstreams, which is not served yet."""
        upstreams = [
            {"name": name, "engine": "openai", "url": "http://127.0.0.1:9", **more}
            for name in names
        ]
        model = {"name": "m", "dimensions": 8, "upstreams": upstreams}
        config = Config.model_validate({"models": [model]})
        return put_together(config, self.transport, self.metrics).models[0]

    def shown(self, name: str, upstream: str) -> float | None:
        labels = {"model": "m", "upstream": upstream}
        return self.metrics.registry.get_sample_value(f"embedway_upstream_{name}", labels)


def fail(model: Model, upstream: int = 0) -> None:
    model.upstreams[upstream].target.breaker.failed(0.0, 0.0, at_once=True)


def test_a_removed_upstream_neither_fails_nor_serves() -> None:
    world = World()
    model = world.built("a", "b", "c")
    world.models.replace([model])
    fail(model)
    assert [2, 0] == [world.shown("breaker_state", name) for name in "ab"]
    assert (world.shown("concurrency_limit", "a") or 0) > 0

    world.models.replace([world.built("c")])

    assert [-1, -1, 0] == [world.shown("breaker_state", name) for name in "abc"]
    assert [0, 0] == [world.shown("concurrency_limit", name) for name in "ab"]
    assert math.inf == world.shown("agreement", "b")

    world.models.replace([])

    assert -1 == world.shown("breaker_state", "c")


def test_what_ends_later_in_the_old_stack_is_not_told() -> None:
    world = World()
    gone, kept = world.built("a"), world.built("b")
    world.models.replace([gone])
    world.models.replace([kept])
    fail(gone)
    assert -1 == world.shown("breaker_state", "a")

    world.models.replace([world.built("b", weight=2)])
    fail(kept)

    assert 0 == world.shown("breaker_state", "b")


def test_an_upstream_that_is_back_is_shown_again() -> None:
    world = World()
    world.models.replace([world.built("a")])
    world.models.replace([])
    world.models.replace([world.built("a")])

    assert 0 == world.shown("breaker_state", "a")


def test_what_is_not_served_yet_says_nothing_of_what_is() -> None:
    world = World()
    serving = world.built("a")
    world.models.replace([serving])
    fail(serving)

    new = world.built("a", "b", weight=2)
    assert [2, None] == [world.shown("breaker_state", name) for name in "ab"]

    world.models.replace([new])
    assert [0, 0] == [world.shown("breaker_state", name) for name in "ab"]


async def test_what_waits_for_a_slot_is_no_call_of_the_upstream() -> None:
    world = World()
    asked, began, held = 0, asyncio.Event(), asyncio.Event()
    whole = world.transport.send

    async def held_back(call: HTTPCall) -> Any:
        nonlocal asked
        asked += 1
        began.set()
        await held.wait()
        return await whole(call)

    world.transport.send = held_back  # type: ignore[method-assign]
    with served(OpenAIUpstream()) as url:
        service = world.built("a", url=url, max_concurrency=1).upstreams[0].service
        sent = [asyncio.create_task(service.send(EmbeddingRequest("m", (text,)))) for text in "abc"]
        await asyncio.wait_for(began.wait(), 20)
        assert (1, 1) == (asked, world.shown("in_flight", "a"))
        held.set()
        await asyncio.gather(*sent)
    await world.transport.close()

    assert (3, 0) == (asked, world.shown("in_flight", "a"))


async def test_agreement_is_shown_until_the_upstream_is_gone() -> None:
    world = World()
    with served(OpenAIUpstream()) as url:
        model = world.built("a", "b", url=url)
        world.models.replace([model])
        space = model.upstreams[1].space
        assert space is not None
        await space.send(EmbeddingRequest("m", ("a",)))
        assert (world.shown("agreement", "b") or 0) > 0.99

        world.models.replace([])

        assert math.inf == world.shown("agreement", "b")
    await world.transport.close()
