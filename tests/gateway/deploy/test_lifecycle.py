"""Applying a plan: from nothing to a deployment that embeds, once, whatever happens meanwhile."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import oci
import pytest

from doubles.oci_deployed import Plans, World, plan_of
from doubles.tiny_bert import write_tiny_bert
from embedway_deploy.error import DeployError, NoCapacity, Refused
from embedway_deploy.lifecycle import apply, destroy, status
from embedway_deploy.plan import DIGEST_TAG, PLAN_TAG, Plan, load_plan
from embedway_deploy.step import Shape, Upload
from embedway_local import LocalEmbedder

ONLY_DONE = {"proof", "check"}
WITH_ANOTHER = {*ONLY_DONE, "publication"}
"""What is not removed by itself."""


def state_of(world: World) -> dict[str, Any]:
    """What there is, without what is different each time."""
    cloud = world.cloud
    alive = [one for one in cloud.deployments.values() if one["lifecycleState"] != "DELETED"]
    models = {key: one for key, one in cloud.models.items() if one["lifecycleState"] == "ACTIVE"}
    return {
        "objects": {
            name: [hashlib.sha256(one.body).hexdigest() for one in versions[-1:]]
            for bucket in cloud.storage.buckets.values()
            for name, versions in bucket.objects.items()
        },
        "models": [one["freeformTags"] for one in models.values()],
        "artifacts": [
            hashlib.sha256(_stable(cloud.artifacts[key][0])).hexdigest() for key in models
        ],
        "deployments": [(one["lifecycleState"], one["freeformTags"]) for one in alive],
    }


def _stable(artifact: bytes) -> bytes:
    """A description names the versions of its objects, which count on."""
    return re.sub(rb"version-\d+", b"version", artifact)


def test_from_nothing_to_vectors(world: World, plans: Plans) -> None:
    plan = plans(world)

    done = apply(world.run(plan))

    assert all(one.state.status == "present" for one in done), done
    assert float(done[-2].state.facts["cosine"]) > 0.99999
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


def test_a_plan_that_was_kept_is_the_same(world: World, plans: Plans) -> None:
    plan = plans(world)
    apply(world.run(plan))
    before = list(world.cloud.changes)
    kept = world.folder / "plan.yaml"
    kept.write_text(plan.dump(), "utf-8")

    read = load_plan(kept)
    apply(world.run(read))

    assert plan == read
    assert before == world.cloud.changes


class Interruption:
    """Ctrl-C, at the moment when OCI has done what it was asked, or before it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int | None) -> None:
        self.count = 0
        request: Callable[..., Any] = oci.base_client.BaseClient.request

        def interrupted(client: Any, asked: Any, *more: Any, **options: Any) -> Any:
            answer = request(client, asked, *more, **options)
            if asked.method not in {"GET", "HEAD"}:
                self.count += 1
                if self.count == at:
                    raise KeyboardInterrupt
            return answer

        monkeypatch.setattr(oci.base_client.BaseClient, "request", interrupted)


CHANGES = {"onnx": 4, "tei": 9}
"""How many requests change something: entry, artifact, deployment, its tag, and five files."""


@pytest.mark.parametrize(
    ("engine", "at"),
    [(engine, at) for engine, most in CHANGES.items() for at in range(1, most + 1)],
)
def test_interrupted_anywhere_it_ends_in_the_same_state(
    world: World, monkeypatch: pytest.MonkeyPatch, engine: str, at: int
) -> None:
    plan = plan_of(engine)(world)
    with monkeypatch.context() as patch:
        Interruption(patch, at)
        with pytest.raises(KeyboardInterrupt):
            apply(world.run(plan))
    done = apply(world.run(plan))
    interrupted = state_of(world)

    destroy(world.run(plan))
    assert [] == world.cloud.remains
    with monkeypatch.context() as patch:
        calm = Interruption(patch, None)
        apply(world.run(plan))

    assert interrupted == state_of(world)
    assert {"present"} == {one.state.status for one in done}
    assert CHANGES[engine] == calm.count, "all of them are tried"


def large(world: World, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """As if the model were larger than what the catalogue takes in one request."""
    monkeypatch.setattr("embedway_deploy.onnx.plan._MOST_BYTES", 1000)
    return plan_of("onnx")(world)


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
def test_a_large_artifact_goes_through_a_bucket(
    world: World, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """An object, the entry, the export of the one into the other, the deployment and its tag."""
    plan = large(world, monkeypatch)
    with monkeypatch.context() as patch:
        Interruption(patch, at)
        with pytest.raises(KeyboardInterrupt):
            apply(world.run(plan))

    done = apply(world.run(plan))

    assert {"present"} == {one.state.status for one in done}
    assert (1, 1) == (len(world.cloud.models), len(world.cloud.deployments))
    assert 1 == len(world.cloud.storage.sent)
    assert any("Allow service datascience" in line for line in plan.policies)


def test_an_upload_in_parts_is_taken_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if parts were small: what was sent before the interruption is not sent again."""
    monkeypatch.setattr("embedway_deploy.kind.upload._PART", 4096)
    plan = plan_of("tei")(world)
    largest = max(file.bytes for file in plan.sources[0].files)
    sent = world.cloud.storage
    with monkeypatch.context() as patch:

        def interrupted(*_more: Any, **_options: Any) -> Any:
            raise KeyboardInterrupt

        patch.setattr(
            oci.object_storage.ObjectStorageClient, "commit_multipart_upload", interrupted
        )
        with pytest.raises(KeyboardInterrupt):
            apply(world.run(plan))
    (bucket,) = sent.buckets.values()
    (parts,) = bucket.parts.values()
    del parts[2]
    before = sent.parts

    done = apply(world.run(plan))

    assert "present" == done[-1].state.status
    assert before + 1 == sent.parts, "the part that was lost"
    assert largest // 4096 + 1 == before
    assert {} == bucket.parts


def test_destroy_gives_up_what_was_begun(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of("tei")(world)
    (bucket,) = world.cloud.storage.buckets.values()
    upload = plan.step("upload")
    assert isinstance(upload, Upload)
    bucket.parts["upload-0"] = {1: b"x"}
    bucket.parts["upload-9"] = {1: b"x"}
    world.cloud.storage.begun |= {"upload-0": f"{upload.prefix}a", "upload-9": "another/file"}

    destroy(world.run(plan))

    assert ["upload-9"] == list(bucket.parts)


def test_an_update_that_fails_is_told(world: World, plans: Plans) -> None:
    apply(world.run(plans(world)))
    world.cloud.stuck = "no capacity for a second machine"
    shape = Shape(name="VM.Standard.E4.Flex", ocpus=4, memory_gb=64, replicas=2)

    with pytest.raises(NoCapacity, match="no capacity for a second machine"):
        apply(world.run(plans(world, shape=shape)))

    world.cloud.stuck = ""
    done = apply(world.run(plans(world, shape=shape)))
    changed = [one.step for one in done if one.changed]
    assert ["deployment", "publication"] == changed, "it is tried again"


def test_an_export_that_fails_says_why(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.cloud.spoiled = "the bucket may not be read"

    with pytest.raises(DeployError, match=r"(?s)exporting the artifact.*bucket may not be read"):
        apply(world.run(large(world, monkeypatch)))


def test_a_deployment_that_needs_attention_is_not_touched(world: World, plans: Plans) -> None:
    plan = plans(world)
    apply(world.run(plan))
    (deployment,) = world.cloud.deployments.values()
    deployment["lifecycleState"] = "NEEDS_ATTENTION"
    before = len(world.cloud.changes)

    with pytest.raises(DeployError, match="NEEDS_ATTENTION; look at it in the Console"):
        apply(world.run(plan))

    assert before == len(world.cloud.changes)


def test_another_size_updates_the_deployment_in_place(world: World, plans: Plans) -> None:
    apply(world.run(plans(world)))
    before = len(world.cloud.changes)
    shape = Shape(name="VM.Standard.E4.Flex", ocpus=4, memory_gb=64, replicas=2)

    done = apply(world.run(plans(world, shape=shape)))

    assert ["PUT", "PUT", "PUT"] == [method for method, _ in world.cloud.changes[before:]]
    assert ["deployment", "publication"] == [one.step for one in done if one.changed]
    (deployment,) = world.cloud.deployments.values()
    details = deployment["modelDeploymentConfigurationDetails"]["modelConfigurationDetails"]
    assert 2 == details["scalingPolicy"]["instanceCount"]


def test_another_model_replaces_the_one_before(world: World, plans: Plans) -> None:
    apply(world.run(plans(world)))
    other = write_tiny_bert(world.folder / "later" / "tiny", seed=8)

    with LocalEmbedder(other) as embedder:
        world.embedder = embedder
        plan = plans(world, model=str(other))
        done = apply(world.run(plan))

    assert all(one.changed for one in done if one.kind not in ONLY_DONE)
    assert 2 == len(world.cloud.models)
    (deployment,) = world.cloud.deployments.values()
    assert "ACTIVE" == deployment["lifecycleState"]
    destroy(world.run(plan))
    assert [] == world.cloud.remains, "the earlier version, too"


def test_destroy_leaves_nothing(world: World, plans: Plans) -> None:
    plan = plans(world)
    apply(world.run(plan))

    done = destroy(world.run(plan))

    assert [] == world.cloud.remains
    assert all(one.changed for one in done if one.kind not in WITH_ANOTHER)
    assert {"absent", "unknown"} == {one.state.status for one in status(world.run(plan))}
    assert not any(one.changed for one in destroy(world.run(plan)))


def test_what_another_plan_has_made_is_left_alone(world: World, plans: Plans) -> None:
    apply(world.run(plans(world)))
    before = state_of(world)
    other = plans(world, name="another")

    apply(world.run(other))
    destroy(world.run(other))

    assert before == state_of(world)


def test_files_that_were_changed_are_refused(world: World, plans: Plans) -> None:
    plan = plans(world)
    source = plan.sources[-1]
    path = world.folder / source.folder / "tokenizer.json"
    path.write_text(path.read_text("utf-8") + " ", "utf-8")

    with pytest.raises(Refused, match=r"tokenizer\.json was changed since the plan was made"):
        apply(world.run(plan))

    assert [] == world.cloud.changes


def test_an_inactive_deployment_is_activated(world: World, plans: Plans) -> None:
    plan = plans(world)
    apply(world.run(plan))
    (deployment,) = world.cloud.deployments.values()
    deployment["lifecycleState"] = "INACTIVE"

    done = apply(world.run(plan))

    assert "ACTIVE" == deployment["lifecycleState"]
    assert ["deployment"] == [one.step for one in done if one.changed]


def test_waiting_ends_and_can_be_taken_up(world: World, plans: Plans) -> None:
    plan, now = plans(world), [0.0]
    world.cloud.turns = 30

    def sleep(seconds: float) -> None:
        now[0] += seconds

    run = replace(world.run(plan), clock=lambda: now[0], sleep=sleep, poll=10.0, patience=60.0)
    with pytest.raises(DeployError, match="run the same command again to wait on"):
        apply(run)
    made = len(world.cloud.changes)

    done = apply(world.run(plan))

    assert made + 1 == len(world.cloud.changes), "the tag, which comes last"
    assert "present" == done[-1].state.status
