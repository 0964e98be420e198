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
