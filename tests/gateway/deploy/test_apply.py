"""Applying a plan: from nothing to a deployment that embeds, once, whatever happens meanwhile."""

from __future__ import annotations

from doubles.oci_deployed import Plans, World
from embedway_deploy.apply import apply, destroy, status
from embedway_deploy.plan import DIGEST_TAG, PLAN_TAG


def test_from_nothing_to_vectors(world: World, plans: Plans) -> None:
    plan = plans(world)

    done = apply(world.run(plan))

    assert all(one.state.status == "present" for one in done), done
    assert float(done[-1].state.facts["cosine"]) > 0.99999
    assert [] == world.cloud.refused
    (deployment,) = world.cloud.deployments.values()
    assert "ACTIVE" == deployment["lifecycleState"]
    assert plan.name == deployment["freeformTags"][PLAN_TAG]
    assert plan.digest(plan.step("deployment")) == deployment["freeformTags"][DIGEST_TAG]


def test_twice_changes_nothing(world: World, plans: Plans) -> None:
    apply(world.run(plans(world)))
    before = list(world.cloud.changes)

    done = apply(world.run(plans(world)))

    assert before == world.cloud.changes
    assert not any(one.changed for one in done)
    assert {"present"} == {one.state.status for one in done}


def test_destroy_leaves_nothing(world: World, plans: Plans) -> None:
    plan = plans(world)
    apply(world.run(plan))

    done = destroy(world.run(plan))

    assert [] == world.cloud.remains
    assert all(one.changed for one in done if one.kind not in {"proof", "check"})
    assert {"absent", "unknown"} == {one.state.status for one in status(world.run(plan))}
    assert not any(one.changed for one in destroy(world.run(plan)))
