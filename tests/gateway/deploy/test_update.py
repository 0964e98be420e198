"""A deployment that is there already: what is changed while it serves, and what only while not."""

from __future__ import annotations

import json
from typing import Any

import oci
import pytest

from doubles.oci_deployed import World, plan_of
from embedway_deploy.error import Refused
from embedway_deploy.lifecycle import apply, status
from embedway_deploy.report import Silent
from embedway_deploy.step import Log, Shape

SMALL = Shape(name="VM.Standard.E4.Flex", ocpus=4, memory_gb=64)
LOG = Log(group_id="ocid1.loggroup.oc1.iad.g", predict_id="ocid1.log.oc1.iad.l")


class Said(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)


def done_to(world: World, before: int) -> list[str]:
    """The method of each change, or the action that it asks for."""
    changes = [(m, p) for m, p in world.cloud.changes[before:] if "modelDeployments" in p]
    return [p.rpartition("/")[2] if m == "POST" else m for m, p in changes]


def state(world: World) -> dict[str, Any]:
    (deployment,) = world.cloud.deployments.values()
    return deployment


def test_what_oci_takes_of_an_active_deployment_is_changed_in_place(world: World) -> None:
    apply(world.run(plan_of("tei")(world)))
    before = len(world.cloud.changes)
    shape = SMALL.model_copy(update={"ocpus": 8, "replicas": 2, "bandwidth_mbps": 20})

    apply(world.run(plan_of("tei")(world, shape=shape, log=LOG)))

    assert ["PUT"] * 4 == done_to(world, before)[:4], "machines, bandwidth, logs, then the tags"
    model = state(world)["modelDeploymentConfigurationDetails"]["modelConfigurationDetails"]
    assert 20 == model["bandwidthMbps"]
    sized = model["instanceConfiguration"]["modelDeploymentInstanceShapeConfigDetails"]
    assert 8 == sized["ocpus"]
    assert LOG.predict_id == state(world)["categoryLogDetails"]["predict"]["logId"]


def test_what_it_takes_only_of_an_inactive_one_is_an_outage_that_is_told(world: World) -> None:
    apply(world.run(plan_of("tei")(world)))
    before = len(world.cloud.changes)
    plan = plan_of("tei", max_client_batch_size=64)(world)
    looked = {one.step: one.state for one in status(world.run(plan))}
    assert "to be changed while inactive: its command" in looked["deployment"].words
    said = Said()

    done = apply(world.run(plan, report=said))

    assert ["deactivate", "PUT", "activate", "PUT"] == done_to(world, before)[:4]
    assert any("calls of it fail until it is active again" in line for line in said.lines)
    assert "present" == done[-1].state.status
    where = state(world)["modelDeploymentConfigurationDetails"]["environmentConfigurationDetails"]
    assert "64" in where["cmd"]


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_an_outage_that_was_interrupted_is_ended(
    world: World, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    apply(world.run(plan_of("tei")(world)))
    plan, count = plan_of("tei", max_client_batch_size=64)(world), [0]
    with monkeypatch.context() as patch:
        request = oci.base_client.BaseClient.request

        def interrupted(client: Any, asked: Any, *more: Any, **options: Any) -> Any:
            answer = request(client, asked, *more, **options)
            count[0] += asked.method not in {"GET", "HEAD"}
            if count[0] == at:
                raise KeyboardInterrupt
            return answer

        patch.setattr(oci.base_client.BaseClient, "request", interrupted)
        with pytest.raises(KeyboardInterrupt):
            apply(world.run(plan))

    done = apply(world.run(plan))

    assert "ACTIVE" == state(world)["lifecycleState"]
    assert {"present"} == {one.state.status for one in done}
    assert "64" in json.dumps(state(world))


def test_a_subnet_that_is_added_is_an_outage(world: World) -> None:
    apply(world.run(plan_of("onnx")(world)))
    before = len(world.cloud.changes)
    shape = SMALL.model_copy(update={"subnet_id": "ocid1.subnet.oc1.iad.s"})

    apply(world.run(plan_of("onnx")(world, shape=shape)))

    assert ["deactivate", "PUT", "activate", "PUT"] == done_to(world, before)[:4]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"log": LOG}, "has predict log"),
        ({"shape": SMALL.model_copy(update={"subnet_id": "ocid1.subnet.oc1.iad.s"})}, "has subnet"),
    ],
)
def test_what_no_update_takes_away_is_refused(
    world: World, changes: dict[str, Any], words: str
) -> None:
    apply(world.run(plan_of("tei")(world, **changes)))
    before = list(world.cloud.changes)

    with pytest.raises(Refused, match=rf"{words}, .* no update takes away: deploy under another"):
        apply(world.run(plan_of("tei")(world)))

    assert before == world.cloud.changes
    assert "present" == apply(world.run(plan_of("tei")(world, name="other")))[-1].state.status
