"""Where a request's time goes, seen through the application's metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from doubles.configured import Configured
from doubles.openai_upstream import OpenAIUpstream
from doubles.proven import prove
from doubles.serving import serving
from embedway_gateway.config.schema import Config
from embedway_gateway.metric import Metrics
from embedway_gateway.phase import Sampled
from embedway_gateway.web.app import create_app


class Recorder:
    def __init__(self) -> None:
        self.amounts: list[float] = []

    def observe(self, amount: float) -> None:
        self.amounts.append(amount)


def test_one_in_thirty_two_is_observed_and_all_that_come_seldom() -> None:
    busy, quiet = Recorder(), Recorder()
    one, other = Sampled(busy), Sampled(quiet)
    for number in range(96):
        one.add(number, 1.0)
        other.took(float(number), number + 0.5)

    assert busy.amounts == list(range(0, 96, 32))
    assert quiet.amounts == [0.5] * 96


class World:
    def __init__(self) -> None:
        self.upstream, self.metrics = OpenAIUpstream(), Metrics()

    def value(self, name: str, **labels: str) -> float:
        labels = {"model": "m", **labels}
        return self.metrics.registry.get_sample_value(f"embedway_{name}", labels) or 0.0

    async def counted(self, name: str, amount: float) -> None:
        end = time.monotonic() + 10
        while self.value(name) != amount:
            assert time.monotonic() < end, self.value(name)
            await asyncio.sleep(0.02)

    async def embed(self, client: httpx.AsyncClient, *texts: str) -> None:
        body = {"model": "m", "input": list(texts)}
        assert (await client.post("/v1/embeddings", json=body)).status_code == 200


@pytest.fixture
async def world() -> AsyncIterator[tuple[World, httpx.AsyncClient]]:
    world = World()
    async with serving(world.upstream) as url:
        upstream = {"name": "up", "engine": "openai", "url": url, "max_concurrency": 1}
        file = {"models": [{"name": "m", "dimensions": 8, "upstreams": [upstream]}]}
        app = create_app(Config.model_validate(file), metrics=world.metrics)
        await prove(app)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            yield world, client
        await app.close()


async def test_a_request_is_split_into_its_parts(world: tuple[World, httpx.AsyncClient]) -> None:
    seen, client = world
    seen.upstream.delay = 0.2
    before = seen.value("phase_seconds_sum", phase="upstream")
    await seen.embed(client, "a text")

    for phase in ("parse", "queue", "sign", "upstream", "decode", "encode"):
        assert seen.value("phase_seconds_count", phase=phase) >= 1, phase
    assert seen.value("phase_seconds_sum", phase="upstream") - before >= 0.2
    for phase in ("parse", "queue", "sign", "decode", "encode"):
        assert seen.value("phase_seconds_sum", phase=phase) < 0.1, phase


async def test_requests_that_travelled_together_are_told_from_their_calls(
    world: tuple[World, httpx.AsyncClient],
) -> None:
    seen, client = world
    # Longer than what is between two that are observed for certain.
    seen.upstream.delay = 0.2
    first = asyncio.create_task(seen.embed(client, "one"))
    end = time.monotonic() + 10
    while not seen.upstream.running:
        assert time.monotonic() < end
        await asyncio.sleep(0.001)
    others = [seen.embed(client, f"{n}", f"{n + 1}") for n in range(4)]
    # What is under way already needs no call at all.
    await asyncio.gather(first, seen.embed(client, "one"), *others)

    await seen.counted("coalesced_requests_total", 6)
    await seen.counted("coalesced_calls_total", 2)
    # A bearer's signature costs nothing that could be saved.
    assert 0 == seen.value("signatures_saved_total")
    assert seen.value("upstream_batch_texts_count", upstream="up") >= 1
    assert seen.value("phase_seconds_sum", phase="queue") > 0.01


async def test_signatures_that_were_saved_and_renewals_are_counted(tmp_path: Path) -> None:
    world, made = World(), Configured(tmp_path)
    with made.open:
        file = made.oci(world.upstream, engine="openai", invoke="suffix", max_concurrency=1)
        file["models"][0]["name"] = "m"
        file["cache"] = {"type": "memory", "max_bytes": "1MiB"}
        app = create_app(Config.model_validate(file), metrics=world.metrics)
        await prove(app)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            world.upstream.delay = 0.05
            await asyncio.gather(*(world.embed(client, f"text {n}") for n in range(5)))
            await world.counted("coalesced_requests_total", 5)
            calls = world.value("coalesced_calls_total")
            await world.counted("signatures_saved_total", 5 - calls)
            saved = world.value("cache_texts_total", result="hit")
            while world.value("cache_texts_total", result="hit") == saved:
                await world.embed(client, "text 0")
            await world.counted("signatures_saved_total", 6 - calls)
        await app.close()
    registry, login = world.metrics.registry, {"credentials": "login"}
    name = "embedway_credentials_renewals_total"
    assert 1 == registry.get_sample_value(name, {**login, "outcome": "ok"})
    assert registry.get_sample_value(name, {**login, "outcome": "failed"}) is None
    when = registry.get_sample_value("embedway_credentials_renewed_timestamp_seconds", login)
    assert when is not None
    assert 0 <= time.time() - when < 60


async def test_a_renewal_that_failed_is_counted_and_no_success(tmp_path: Path) -> None:
    metrics, made = Metrics(), Configured(tmp_path)
    with made.open:
        file = made.oci(engine="openai")
        file["credentials"]["login"]["key_file"] = str(tmp_path / "gone.pem")
        app = create_app(Config.model_validate(file), metrics=metrics)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            body = {"model": "model", "input": "a"}
            assert (await client.post("/v1/embeddings", json=body)).status_code == 502
        await app.close()
    failed = {"credentials": "login", "outcome": "failed"}
    assert metrics.registry.get_sample_value("embedway_credentials_renewals_total", failed)
    name = "embedway_credentials_renewed_timestamp_seconds"
    assert metrics.registry.get_sample_value(name, {"credentials": "login"}) is None
