"""Deployments of one name in several compartments: each has its own, and touches nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from doubles.oci_deployed import Plans, World, plan_of
from embedway_deploy.error import DeployError, Refused
from embedway_deploy.lifecycle import apply, destroy
from embedway_deploy.plan import Plan
from embedway_deploy.step import Upload

PRODUCTION = "ocid1.compartment.oc1..production"


def moved(plan: Plan, prefix: str) -> Plan:
    """With files elsewhere in the bucket, as if somebody had edited it."""
    steps = tuple(
        one.model_copy(update={"prefix": prefix}) if isinstance(one, Upload) else one
        for one in plan.steps
    )
    return plan.model_copy(update={"steps": steps})


def in_production(world: World) -> Any:
    return world.place.model_copy(update={"compartment_id": PRODUCTION})


def objects(world: World) -> set[str]:
    return {name for bucket in world.cloud.storage.buckets.values() for name in bucket.objects}


@pytest.mark.parametrize("engine", ["tei", "onnx"])
def test_destroy_leaves_the_files_of_another_compartment(
    world: World, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    monkeypatch.setattr("embedway_deploy.onnx.plan._MOST_BYTES", 1000)
    apply(world.run(plan_of(engine)(world, place=in_production(world))))
    before = objects(world)
    dev = plan_of(engine)(world)
    apply(world.run(dev))
    assert before < objects(world)

    destroy(world.run(dev))

    assert before == objects(world)
    alive = [one for one in world.cloud.deployments.values() if one["lifecycleState"] == "ACTIVE"]
    assert [PRODUCTION] == [one["compartmentId"] for one in alive]


def test_a_plan_that_was_edited_removes_nothing_of_others(world: World) -> None:
    plan = plan_of("tei")(world)
    apply(world.run(plan))
    (bucket,) = world.cloud.storage.buckets.values()
    bucket.objects["team/notes"] = next(iter(bucket.objects.values()))
    before = objects(world)

    with pytest.raises(DeployError, match=r"stay: that is no place of this plan's files"):
        destroy(world.run(moved(plan, "team/models/")))
    with pytest.raises(Refused, match=r"is no place of this plan's files.*--bucket"):
        apply(world.run(moved(plan, "team/models/")))

    assert before == objects(world)


def test_only_versions_are_removed(world: World) -> None:
    plan = plan_of("tei")(world)
    apply(world.run(plan))
    (bucket,) = world.cloud.storage.buckets.values()
    root = next(iter(bucket.objects)).split("/")[:3]
    bucket.objects["/".join([*root, "notes", "mine"])] = next(iter(bucket.objects.values()))

    destroy(world.run(plan))

    assert {"/".join([*root, "notes", "mine"])} == objects(world)


def test_a_plan_of_before_is_applied_and_says_what_is_left(world: World) -> None:
    plan = plan_of("tei")(world)
    upload = plan.step("upload")
    assert isinstance(upload, Upload)
    earlier = f"embedway/{plan.name}/{upload.source.digest[:12]}/"
    old = Plan.model_validate_json(plan.model_dump_json().replace(upload.prefix, earlier))

    apply(world.run(old))
    kept = objects(world)
    with pytest.raises(DeployError, match=rf"bulk-delete-versions .* --prefix {earlier}"):
        destroy(world.run(old))

    assert kept == objects(world)
    assert kept == {name for name in kept if name.startswith(earlier)}
    assert kept == set(world.cloud.remains), "nothing that is paid by the hour"


def test_models_of_another_compartment_are_left_alone(world: World, plans: Plans) -> None:
    apply(world.run(plans(world, place=in_production(world))))
    before = world.cloud.remains

    destroy(world.run(plans(world)))

    assert before == world.cloud.remains
