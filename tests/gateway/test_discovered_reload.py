"""What is found is served on through reloads, from the places that are still named."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from doubles.findable import World, world_in
from doubles.serving import served
from embedway_gateway.config.schema import Config
from embedway_gateway.fleet import Fleet
from embedway_gateway.metric import Metrics
from embedway_gateway.wire import WireTransport
from embedway_upstream import EmbeddingRequest


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """What is named in the file answers, too: a reload waits for it."""
    with world_in(tmp_path) as world, served(world.engine) as url:
        world.urls["engine"] = url
        yield world


def static(world: World, name: str = "static", **more: Any) -> dict[str, Any]:
    upstream = {"name": "here", "engine": "openai", "url": world.urls["engine"]}
    return {"name": name, "dimensions": 8, "upstreams": [upstream], **more}


async def at_once() -> None:
    """No request runs."""


@asynccontextmanager
async def serving(config: Config) -> AsyncIterator[Fleet]:
    """Once everything was looked for."""
    transport = WireTransport()
    nothing_found = config.model_copy(update={"discovery": ()})
    fleet = Fleet(nothing_found, transport, Metrics())
    fleet.start()
    try:
        await fleet.change(config, settled=at_once)
        yield fleet
    finally:
        await fleet.close()
        await transport.close()


def oci(world: World, *compartments: str, credentials: str = "prod") -> dict[str, Any]:
    return {
        "type": "oci",
        "service_endpoint": world.urls["control"],
        "compartment_id": compartments,
        "credentials": credentials,
    }


def places(world: World, *discovery: dict[str, Any], **more: Any) -> Config:
    """With credentials of two names for all that `World` asks to be signed, unless it is left."""
    logins = world.config().model_dump(mode="json")["credentials"]
    del logins["sap"]
    used = {item["credentials"] for item in discovery}
    return Config.model_validate(
        {
            "credentials": {name: logins["prod"] for name in ("prod", "other") if name in used},
            "discovery": list(discovery),
            "models": [static(world)],
            **more,
        }
    )


@pytest.mark.parametrize("down", [False, True])
async def test_what_was_found_outlives_any_number_of_reloads_in_an_outage(
    world: World, down: bool
) -> None:
    """Of the control plane; also where the deployments cannot be measured again either."""
    world.place(1, "bge, engine=tei, invoke=predict")
    async with serving(places(world, oci(world, "c1"))) as fleet:
        assert {"static", "bge"} == set(fleet.models)
        world.control.faults.extend([404] * 1000)
        world.platform.faults.extend([503] * (1000 if down else 0))
        for attempts in (2, 4, 5):
            new = places(world, oci(world, "c1"), routing={"attempts": attempts})
            await fleet.change(new, settled=at_once)

            assert {"static", "bge"} == set(fleet.models)


async def test_a_place_that_is_named_no_more_is_left_whatever_the_others_do(world: World) -> None:
    """Its credentials may be gone with it."""
    world.place(1, "kept, engine=tei, invoke=predict")
    world.place(2, "left, engine=tei, invoke=predict", compartment="c2")
    both = oci(world, "c1"), oci(world, "c2", credentials="other")
    async with serving(places(world, *both)) as fleet:
        assert {"static", "kept", "left"} == set(fleet.models)
        world.control.faults.extend([404] * 1000)
        world.platform.faults.extend([503] * 1000)
        await fleet.change(places(world, both[0]), settled=at_once)

        assert {"static", "kept"} == set(fleet.models)


async def test_of_a_model_at_two_places_the_deployments_at_the_other_go_on(world: World) -> None:
    world.place(1, "m, engine=tei, invoke=predict")
    world.place(2, "m, engine=tei, invoke=predict", compartment="c2")
    both = oci(world, "c1", credentials="other"), oci(world, "c2")
    async with serving(places(world, *both)) as fleet:
        assert 2 == len(fleet.models["m"].upstreams)
        world.control.faults.extend([404] * 1000)
        await fleet.change(places(world, both[1]), settled=at_once)

        assert ["oci-toc1iadd0002"] == [one.name for one in fleet.models["m"].upstreams]


async def test_what_cannot_be_built_without_the_other_place_is_not_served_with_it(
    world: World,
) -> None:
    world.place(1, "m, engine=tei, invoke=predict")
    world.place(2, "m, engine=tei, invoke=predict", compartment="c2")
    both = oci(world, "c1", credentials="other"), oci(world, "c2")
    async with serving(places(world, *both)) as fleet:
        world.control.faults.extend([404] * 1000)
        world.platform.faults.extend([503] * 1000)
        await fleet.change(places(world, both[1]), settled=at_once)

        assert {"static"} == set(fleet.models)


async def test_a_compartment_that_is_added_is_no_reason_to_forget_the_others(world: World) -> None:
    world.place(1, "m, engine=tei, invoke=predict")
    async with serving(places(world, oci(world, "c1"))) as fleet:
        world.control.faults.extend([404] * 1000)
        await fleet.change(places(world, oci(world, "c2", "c1")), settled=at_once)

        assert {"static", "m"} == set(fleet.models)


async def test_a_name_that_the_configuration_leaves_to_discovery_is_served_at_once(
    world: World,
) -> None:
    """What is found by that name is measured and built before the old model goes."""
    world.place(1, "moved, engine=tei, invoke=predict")
    models = [static(world), static(world, "moved", aliases=["m"])]
    before = places(world, oci(world, "c1"), models=models)
    async with serving(before) as fleet:
        assert ["here"] == [one.name for one in fleet.models["moved"].upstreams]
        await fleet.change(places(world, oci(world, "c1")), settled=at_once)

        # Without a pause since: what runs beside has had no turn.
        found = fleet.models.find("moved")
        assert ["oci-toc1iadd0001"] == [one.name for one in found.upstreams]
        assert "m" not in fleet.models
        response = await found.service.send(EmbeddingRequest("moved", ("a",)))
        assert (1, 8) == response.vectors.shape


async def test_a_name_that_the_configuration_takes_is_its_own_at_once(world: World) -> None:
    world.place(1, "moved, engine=tei, invoke=predict")
    async with serving(places(world, oci(world, "c1"))) as fleet:
        models = [static(world), static(world, "moved")]
        after = places(world, oci(world, "c1"), models=models)
        await fleet.change(after, settled=at_once)

        assert ["here"] == [one.name for one in fleet.models["moved"].upstreams]
