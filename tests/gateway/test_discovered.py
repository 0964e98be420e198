"""Deployments that nobody named in the configuration are found, measured and served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from doubles.findable import World, followed, world_in
from embedway_gateway.assemble import assemble
from embedway_gateway.metric import Metrics
from embedway_gateway.survey import survey
from embedway_gateway.web.app import create_app
from embedway_gateway.wire import WireTransport
from embedway_upstream import EmbeddingRequest, UnknownModel
from embedway_upstream.testing import fake_vectors


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as world:
        yield world


async def test_what_runs_is_found_measured_and_served(world: World) -> None:
    world.place(1, "bge-base, engine=tei, invoke=predict")
    world.place(2, "bge-base, engine=tei, invoke=predict")
    world.aicore.add(1, world.urls["aicore"], name="nomic-v1", model="nomic-embed")
    world.aicore.add(2, world.urls["aicore"], name="other", model="unwanted")
    transport = WireTransport()
    models, discovered = assemble(world.config(), transport, Metrics())
    assert discovered is not None
    try:
        await discovered.look()

        assert {"bge-base", "nomic-embed"} == set(models)
        assert {8} == {model.dimensions for model in models.values()}
        assert 2 == len(models["bge-base"].upstreams)
        for name in models:
            response = await models.find(name).service.send(EmbeddingRequest(name, ("a", "b")))
            np.testing.assert_array_equal(fake_vectors(["a", "b"], 8), response.vectors)
        assert {"ok"} == set(world.platform.verdicts)
    finally:
        await transport.close()


async def test_a_model_that_is_gone_is_served_no_more_and_others_keep_their_stack(
    world: World,
) -> None:
    world.place(1, "stays, engine=tei, invoke=predict")
    world.place(2, "goes, engine=tei, invoke=predict")
    transport = WireTransport()
    models, discovered = assemble(world.config(), transport, Metrics())
    assert discovered is not None
    try:
        await discovered.look()
        before = models["stays"]
        world.control.compartments["c1"].pop()
        await discovered.look()

        assert ["stays"] == list(models)
        assert before is models["stays"]
        with pytest.raises(UnknownModel):
            models.find("goes")
    finally:
        await transport.close()


async def test_the_configuration_wins_and_an_outage_takes_nothing_away(world: World) -> None:
    world.place(1, "mine, engine=tei, invoke=predict")
    world.place(2, "found, engine=tei, invoke=predict")
    mine = {"name": "here", "engine": "openai", "url": "http://127.0.0.1:9"}
    config = world.config(models=[{"name": "mine", "dimensions": 3, "upstreams": [mine]}])
    transport = WireTransport()
    models, discovered = assemble(config, transport, Metrics())
    assert discovered is not None
    try:
        await discovered.look()
        world.control.faults.extend([500] * 20)
        await discovered.look()

        assert {"mine", "found"} == set(models)
        assert 3 == models["mine"].dimensions
    finally:
        await transport.close()


async def test_a_deployment_that_does_not_answer_is_left_out_until_it_does(world: World) -> None:
    world.place(1, "slow, engine=tei, invoke=predict")
    world.platform.faults.extend([503] * 2)
    transport = WireTransport()
    models, discovered = assemble(world.config(), transport, Metrics())
    assert discovered is not None
    try:
        await discovered.look()
        first = list(models)
        world.platform.faults.clear()
        again = await discovered.update()

        assert ([], True, ["slow"]) == (first, again, list(models))
    finally:
        await transport.close()


@pytest.mark.parametrize("size", ["", ", dimensions=8"])
async def test_a_deployment_that_does_something_else_does_not_spoil_the_name(
    world: World, size: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Also after a restart: the oldest deployment says what the model does."""
    world.place(1, f"bge, engine=tei, invoke=predict{size}")
    world.place(2, f"bge, engine=tei, invoke=predict{size}")
    world.place(3, "bge, engine=openai, invoke=predict, capabilities=chat")
    async with followed(world) as (models, discovered):
        served = [one.name for one in models["bge"].upstreams]
        assert ["oci-toc1iadd0001", "oci-toc1iadd0002"] == served
        assert ("embed",) == models["bge"].config.capabilities
        assert 1 == caplog.text.count(
            "'oci-toc1iadd0003' is found, but not served as bge: it chats"
        )
        [*rows, finding] = await survey(world.config())

        assert ["", ""] == [row.problem for row in rows]
        assert ("bge", "oci-toc1iadd0003") == (finding.model, finding.upstream)
        assert "the oldest deployment of that name, 'oci-toc1iadd0001', embeds" in finding.problem
        world.remove(3)
        await discovered.look()
        assert {"bge": {}} == discovered.unfit


async def test_what_an_older_deployment_does_is_not_taken_from_it(world: World) -> None:
    world.place(1, "llm, engine=openai, invoke=predict, capabilities=chat")
    world.place(2, "llm, engine=tei, invoke=predict")
    async with followed(world) as (models, discovered):
        assert ("chat",) == models["llm"].config.capabilities
        assert ["oci-toc1iadd0002"] == list(discovered.unfit["llm"])


async def test_check_looks_at_what_is_found_too(world: World) -> None:
    world.place(1, "bge-base, engine=tei, invoke=predict")

    [finding] = await survey(world.config())

    assert ("bge-base", "tei", 8, "") == (
        finding.model,
        finding.engine,
        finding.dimensions,
        finding.problem,
    )


async def test_check_names_a_place_that_cannot_be_looked_at(world: World) -> None:
    world.place(1, "bge-base, engine=tei, invoke=predict")
    world.control.faults.extend([404] * 9)

    [finding] = await survey(world.config())

    assert (finding.model, finding.upstream) == ("", "discovery[0]")
    assert "policy" in finding.problem


async def test_check_names_what_is_found_but_not_served(world: World) -> None:
    world.place(1, "slow, engine=tei, invoke=predict")
    world.platform.faults.extend([503] * 9)

    [finding] = await survey(world.config())

    assert (finding.model, finding.upstream) == ("slow", "")
    assert finding.problem.startswith("it is found, but not served: OCI says")


async def test_the_gateway_starts_before_anything_is_found(world: World) -> None:
    gateway = create_app(world.config())
    transport = httpx.ASGITransport(gateway)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        health = await client.get("/healthz")
        missing = await client.post("/v1/embeddings", json={"model": "x", "input": "a"})
    await gateway.close()

    assert (200, 404) == (health.status_code, missing.status_code)
    assert "none yet" in missing.json()["error"]["message"]
