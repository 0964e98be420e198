"""A found model that changes, or goes and comes back, is served on, and known again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.findable import World, followed, meaning, world_in
from embedway_gateway.assemble import put_together
from embedway_gateway.lineage import Lineage
from embedway_gateway.metric import Metrics
from embedway_gateway.wire import WireTransport


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as world:
        yield world


@pytest.mark.parametrize("salt", ["", "other "])
@pytest.mark.parametrize("between", [None, 16])
async def test_a_model_that_comes_back_as_another_has_another_fingerprint(
    world: World, salt: str, between: int | None
) -> None:
    """Also where one of another size had the name in between."""
    world.place(1, "m, engine=tei, invoke=predict")
    async with followed(world) as (models, discovered):
        before = await meaning(models["m"])
        world.control.compartments["c1"].clear()
        if between is not None:
            world.engine.dimensions = between
            world.place(2, "m, engine=tei, invoke=predict")
        await discovered.look()
        assert before != (await meaning(models["m"]) if between else None)
        world.control.compartments["c1"].clear()
        world.engine.dimensions, world.engine.salt = 8, salt
        world.place(3, "m, engine=tei, invoke=predict")
        await discovered.look()

        assert (before == await meaning(models["m"])) == (salt == "")


async def test_a_new_configuration_knows_what_a_found_name_meant(world: World) -> None:
    world.place(1, "m, engine=tei, invoke=predict")
    transport = WireTransport()
    try:
        old = put_together(world.config(), transport, Metrics())
        assert old.discovered is not None
        await old.discovered.look()
        before = await meaning(old.discovered.models[0])
        world.engine.salt = "other "
        config = world.config(routing={"attempts": 2})
        new = put_together(config, transport, Metrics(), before=old)
        assert new.discovered is not None
        await new.discovered.look()

        assert old.discovered is not new.discovered
        assert before != await meaning(new.discovered.models[0])
    finally:
        await transport.close()


async def test_of_what_was_found_only_the_latest_are_remembered(world: World) -> None:
    for number, name in enumerate("abc"):
        world.place(number, f"{name}, engine=tei, invoke=predict")
    async with followed(world) as (models, _), followed(world) as (again, _):
        first = {name: await meaning(models[name]) for name in "abc"}
        lineage = Lineage(most=2)
        lineage.keep([models["a"], models["b"], models["a"], models["c"]])
        world.engine.salt = "other "
        for name in "abc":
            lineage.hand_on(again[name])

        known = {name for name in "abc" if first[name] != await meaning(again[name])}
    assert {"a", "c"} == known


async def test_a_deployment_that_is_being_updated_is_not_measured_again(world: World) -> None:
    world.place(1, "m, engine=tei, invoke=predict")
    async with followed(world) as (models, discovered):
        before, asked = models["m"], len(world.engine.seen)
        world.control.compartments["c1"][0]["lifecycleState"] = "UPDATING"
        await discovered.look()

        assert (before, asked) == (models["m"], len(world.engine.seen))


async def test_a_replica_that_does_not_answer_yet_takes_nothing_away(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.place(2, "m, engine=tei, invoke=predict")
    async with followed(world) as (models, discovered):
        before = models["m"]
        world.place(1, "m, engine=tei, invoke=predict")
        world.platform.faults.extend([503] * 9)
        await discovered.look()
        assert before is models["m"]
        assert not await discovered.update()
        assert before is models["m"]
        assert {} == discovered.left_out
        assert 1 == caplog.text.count("m changed, but is served as it was: OCI says")

        world.platform.faults.clear()
        assert await discovered.update()
        assert 2 == len(models["m"].upstreams)


async def test_what_was_inherited_and_is_found_no_more_is_served_no_more(world: World) -> None:
    world.place(1, "m, engine=tei, invoke=predict")
    async with followed(world) as (_, old):
        world.platform.faults.extend([503] * 9)
        async with followed(world) as (models, new):
            new.join(models, inherited=old.served)
            assert ["m"] == list(new.left_out) == list(models)
            world.control.compartments["c1"].clear()
            await new.look()

            assert [] == list(new.left_out) == list(models)
