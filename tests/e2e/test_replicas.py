"""Three replicas behind real sockets, of which some are ill: callers do not notice."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import free_port, serving
from embedway_gateway.config.schema import Config
from embedway_gateway.web.app import create_app


class Endless(deque[Any]):
    """The same fault for ever."""

    def popleft(self) -> Any:
        return self[0]


@asynccontextmanager
async def gateway(*urls: str) -> AsyncIterator[httpx.AsyncClient]:
    upstreams = [{"name": f"r{n}", "engine": "openai", "url": url} for n, url in enumerate(urls)]
    config = Config.model_validate(
        {"models": [{"name": "m", "dimensions": 8, "upstreams": upstreams}]}
    )
    app = create_app(config)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client
    await app.close()


async def crowd(client: httpx.AsyncClient, seconds: float) -> list[tuple[float, float, int]]:
    """Of sixteen callers, each answer: when it was asked for, how long it took, its status."""
    answers: list[tuple[float, float, int]] = []
    began = time.monotonic()

    async def call(name: int) -> None:
        while (begun := time.monotonic() - began) < seconds:
            body = {"model": "m", "input": f"{name} {len(answers)}", "input_type": "query"}
            response = await client.post("/v1/embeddings", json=body)
            answers.append((begun, time.monotonic() - began - begun, response.status_code))
            await asyncio.sleep(0.02)

    await asyncio.gather(*(call(name) for name in range(16)))
    return answers


@pytest.mark.parametrize("ill", ["refusing", "hanging"])
async def test_a_cold_start_against_one_of_three_that_is_ill_loses_nothing(ill: str) -> None:
    async with AsyncExitStack() as stack:
        # The last one defines the vector space for nobody; the first is well.
        replicas = [OpenAIUpstream() for _ in range(3)]
        urls = [await stack.enter_async_context(serving(one)) for one in replicas]
        if ill == "refusing":
            urls[2] = f"http://127.0.0.1:{free_port()}"
        replicas[2].faults = Endless(["hang"])
        client = await stack.enter_async_context(gateway(*urls))
        answers = await crowd(client, 2.2)
        late = [took for begun, took, _ in answers if begun > 1.2]

        assert {200} == {status for _, _, status in answers}
        assert max(late) < 1.0, "it is not waited for any more"
        assert all(len(one.seen) > 10 for one in replicas[:2])
        metrics = (await client.get("/metrics")).text
        assert 'embedway_upstream_breaker_state{model="m",upstream="r0"} 0.0' in metrics
        assert 'embedway_upstream_concurrency_limit{model="m",upstream="r0"}' in metrics


async def test_a_full_outage_is_not_amplified() -> None:
    async with gateway(*(f"http://127.0.0.1:{free_port()}" for _ in range(3))) as client:
        answers = await crowd(client, 1.5)
        metrics = (await client.get("/metrics")).text
        ready = await client.get("/readyz")

    assert {503} == {status for _, _, status in answers}
    attempts = [
        float(line.rpartition(" ")[2])
        for line in metrics.splitlines()
        if line.startswith("embedway_upstream_attempts_total")
    ]
    assert sum(attempts) <= 1.2 * len(answers)
    assert 'embedway_upstream_breaker_state{model="m",upstream="r0"} 2.0' in metrics
    assert "embedway_retries_total" in metrics
    assert 503 == ready.status_code
    assert "the upstream cannot be reached" in ready.text
