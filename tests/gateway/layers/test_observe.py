"""What is counted above each upstream, where texts of many callers travel together."""

from __future__ import annotations

import asyncio
from typing import Any

from doubles.held import World, settle
from embedway_gateway.layers.observe import Observe, ObserveAttempt
from embedway_gateway.metric import Metrics
from embedway_upstream import EmbeddingRequest


async def test_texts_that_were_cut_are_counted_once_whoever_they_are_of() -> None:
    world, metrics = World(), Metrics()
    world.layer._inner = ObserveAttempt(world.inner, metrics, model="m", upstream="up")
    service = Observe(world.layer, metrics, model="m")
    await world.busy()

    async def ask(*texts: str) -> Any:
        return await service.send(EmbeddingRequest("m", texts))

    tasks = [asyncio.create_task(ask(*texts)) for texts in (("a", "b"), ("b", "c"))]
    await settle()
    world.inner.running[0].answer(truncated=1)
    await settle()
    world.inner.running[0].answer(truncated=2)
    await asyncio.gather(*tasks)

    labels = {"model": "m", "upstream": "up"}
    assert 3.0 == metrics.registry.get_sample_value("embedway_truncated_texts_total", labels)
