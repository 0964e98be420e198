"""No two spaces of a found name show one fingerprint, whatever gateway answers, and since when."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.findable import World, followed, meaning, world_in
from doubles.openai_upstream import OpenAIUpstream
from embedway_gateway.model import Model
from embedway_upstream import EmbeddingRequest

TAG = "bge-ft, engine=tei, invoke=predict"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as world:
        yield world


def place_old(world: World, tag: str = TAG) -> OpenAIUpstream:
    """Its id comes after that of the new one."""
    engine = OpenAIUpstream()
    world.place(2, tag, engine=engine, created="2026-01-01T00:00:00.000Z")
    return engine


def place_new(world: World, tag: str = TAG, *, salt: str = "new ") -> None:
    engine = OpenAIUpstream(salt=salt)
    world.place(1, tag, engine=engine, created="2026-03-01T00:00:00.5Z")


async def space(model: Model) -> tuple[str | None, bytes]:
    """The fingerprint that is shown, and what it stands for."""
    shown = await meaning(model)
    response = await model.service.send(EmbeddingRequest(model.name, ("a",)))
    assert shown == model.vector_space
    return shown, response.vectors.tobytes()


async def test_a_gateway_that_starts_after_the_new_deployment_serves_what_the_others_do(
    world: World,
) -> None:
    place_old(world)
    async with followed(world) as (models, discovered):
        before = await space(models["bge-ft"])
        place_new(world)
        await discovered.look()
        async with followed(world) as (begun_later, _):
            after = await space(begun_later["bge-ft"])

            assert before == await space(models["bge-ft"]) == after
            (refused,) = begun_later["bge-ft"].quarantined
            assert refused.endswith("d0001")


async def test_what_is_left_of_an_upgrade_has_another_fingerprint_for_all(world: World) -> None:
    place_old(world)
    async with followed(world) as (models, discovered):
        before, _ = await space(models["bge-ft"])
        place_new(world)
        await discovered.look()
        await space(models["bge-ft"])
        world.remove(2)
        await discovered.look()
        async with followed(world) as (begun_later, _):
            after, vectors = await space(begun_later["bge-ft"])

            assert before != after
            assert (after, vectors) == await space(models["bge-ft"])


async def test_one_that_stands_in_for_the_oldest_shows_its_own_fingerprint(world: World) -> None:
    old = place_old(world, f"{TAG}, dimensions=8")
    async with followed(world) as (models, discovered):
        before = await space(models["bge-ft"])
        place_new(world, f"{TAG}, dimensions=8")
        await discovered.look()
        old.faults.extend([503] * 500)
        async with followed(world) as (begun_later, _):
            other = await space(begun_later["bge-ft"])
        old.faults.clear()

        assert before == await space(models["bge-ft"])
        assert before[0] != other[0]
        assert before[1] != other[1]


async def test_replicas_of_one_space_come_and_go_without_a_change(world: World) -> None:
    place_old(world)
    async with followed(world) as (models, discovered):
        before = await space(models["bge-ft"])
        place_new(world, salt="")
        await discovered.look()
        assert before == await space(models["bge-ft"])
        async with followed(world) as (begun_later, _):
            assert before == await space(begun_later["bge-ft"])
        world.remove(2)
        await discovered.look()

        assert before == await space(models["bge-ft"])


@pytest.mark.parametrize("salt", ["", "new "])
async def test_a_stated_revision_means_the_same_to_all_until_it_changes(
    world: World, salt: str
) -> None:
    """Also to a gateway that never saw the deployment that defined the space."""
    place_old(world, f"{TAG}, revision=1")
    async with followed(world) as (models, _):
        before, _vectors = await space(models["bge-ft"])
    world.remove(2)
    place_new(world, f"{TAG}, revision={'1' if not salt else '2'}", salt=salt)
    async with followed(world) as (models, _):
        after, _vectors = await space(models["bge-ft"])

    assert (before == after) == (salt == "")


async def test_a_model_that_was_exchanged_in_place_while_nobody_looked_is_another(
    world: World,
) -> None:
    engine = place_old(world)
    async with followed(world) as (models, _):
        before, _vectors = await space(models["bge-ft"])
    async with followed(world) as (models, _):
        assert before == await meaning(models["bge-ft"])
    engine.salt = "new "
    details = world.control.compartments["c1"][0]["modelDeploymentConfigurationDetails"]
    details["modelConfigurationDetails"]["modelId"] = "ocid1.datasciencemodel.oc1.iad.other"
    async with followed(world) as (models, _):
        assert before != await meaning(models["bge-ft"])


async def test_the_fingerprint_that_is_listed_is_the_one_that_is_served(world: World) -> None:
    """Before the first request, too."""
    place_old(world)
    async with followed(world) as (models, _):
        listed = models["bge-ft"].vector_space

        assert listed == await meaning(models["bge-ft"])
