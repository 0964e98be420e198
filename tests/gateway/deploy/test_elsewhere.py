"""What a plan needs that is elsewhere: other compartments, and the model's own folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from doubles.oci_cloud import COMPARTMENT
from doubles.oci_deployed import CONDA, World, plan_of
from embedway_deploy.error import Refused
from embedway_deploy.lifecycle import apply
from embedway_deploy.onnx.artifact import Conda
from embedway_deploy.onnx.plan import plan_onnx
from embedway_deploy.order import NamedModel
from embedway_deploy.plan import Plan, load_plan
from embedway_deploy.step import Log, Shape

SUBNET = Shape(
    name="VM.Standard.E4.Flex", ocpus=4, memory_gb=64, subnet_id="ocid1.subnet.oc1.iad.s"
)
LOG = Log(group_id="ocid1.loggroup.oc1.iad.g", predict_id="ocid1.log.oc1.iad.l")


def lines_with(plan: Plan, words: str) -> list[str]:
    return [line for line in plan.policies if words in line]


@pytest.mark.parametrize(
    ("engine", "changes", "place", "statement"),
    [
        ("tei", {}, "bucket", "to read objects in compartment <bucket-compartment>"),
        ("tei", {}, "repository", "to read repos in compartment <repository-compartment>"),
        ("tei", {"log": LOG}, "log", "to use log-content in compartment <log-compartment>"),
        (
            "onnx",
            {"shape": SUBNET},
            "network",
            "to use virtual-network-family in compartment <network-compartment>",
        ),
        (
            "onnx",
            {},
            "conda",
            "to read objects in compartment <conda-compartment> where target.bucket.name = 'packs'",
        ),
    ],
)
def test_what_may_be_in_another_compartment_is_said_so(
    world: World, engine: str, changes: dict[str, object], place: str, statement: str
) -> None:
    plan = plan_of(engine)(world, **changes)

    assert lines_with(plan, statement)
    (told,) = [line for line in plan.policies if line.startswith(f"# <{place}-compartment>")]
    assert f"`id {COMPARTMENT}` where it is the deployment's" in told


def test_no_statement_for_what_is_not_used(world: World) -> None:
    plan = plan_onnx(world.order(), conda=Conda(CONDA.replace("cpu/", "service_pack/cpu/")))

    assert not lines_with(plan, "conda")
    assert not lines_with(plan, "virtual-network-family")
    assert not lines_with(plan, "bucket")


def test_a_relative_folder_is_found_from_anywhere(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(Path(world.model).parent)
    plan = plan_of("tei")(world, model="tiny")
    kept = tmp_path / "plan.yaml"
    kept.write_text(plan.dump(), "utf-8")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    done = apply(world.run(load_plan(kept)))

    assert "present" == done[-1].state.status
    assert "org/model" == NamedModel(model="org/model").model, "no folder here: a name on the hub"


def test_a_model_that_is_gone_is_told_before_anything_is_paid(world: World) -> None:
    plan = plan_of("tei")(world)
    shutil.rmtree(world.model)

    with pytest.raises(Refused, match=r"(?s)that the deployment is compared with cannot be read"):
        apply(world.run(plan))

    assert [] == world.cloud.changes
