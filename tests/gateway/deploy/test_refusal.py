"""Wrong input is refused before anything is created; what OCI refuses later is told in words."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from doubles.oci_deployed import CONDA, IMAGE, Plans, World, plan_of
from doubles.tiny_bert import write_tiny_bert
from embedway_deploy.error import (
    CloudRefused,
    DeployError,
    HealthCheckFailed,
    ImageNotFound,
    LimitExceeded,
    NoCapacity,
    PolicyMissing,
    Refused,
    WrongVectors,
)
from embedway_deploy.lifecycle import apply, logs
from embedway_deploy.login import Login
from embedway_deploy.onnx.artifact import Conda
from embedway_deploy.onnx.plan import plan_onnx
from embedway_deploy.order import Bucket
from embedway_deploy.plan import Plan, load_plan
from embedway_deploy.step import Container, Deployment, Log, Shape
from embedway_deploy.tei.plan import TEI, plan_tei
from embedway_local import LocalEmbedder

LOG = Log(group_id="ocid1.loggroup.oc1.iad.g", predict_id="ocid1.log.oc1.iad.l")


def without(name: str) -> Callable[[World], Plan]:
    def make(world: World) -> Plan:
        (Path(world.model) / name).unlink()
        return plan_of("onnx")(world)

    return make


def cut_on_the_left(engine: str) -> Callable[[World], Plan]:
    def make(world: World) -> Plan:
        settings = Path(world.model) / "tokenizer_config.json"
        settings.write_text('{"truncation_side": "left"}')
        return plan_of(engine)(world)

    return make


def unversioned(world: World) -> Plan:
    world.cloud.storage.buckets["models"].versioning = "Disabled"
    return plan_of("tei")(world)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda w: plan_of("onnx")(w, model="no/such/model/here"), "neither a folder here nor"),
        (without("tokenizer.json"), "no tokenizer.json"),
        (without("1_Pooling/config.json"), "how its token vectors are pooled"),
        (without("model.safetensors"), "neither model.safetensors nor onnx"),
        (cut_on_the_left("onnx"), "reads tokenizer.json alone"),
        (cut_on_the_left("tei"), "reads tokenizer.json alone"),
        (unversioned, "keeps no versions"),
        (
            lambda w: plan_of("onnx")(w, shape=Shape(name="VM.GPU.H100.8")),
            "us-ashburn-1 has no shape VM.GPU.H100.8 .* it has VM.GPU.A10.1",
        ),
        (lambda w: plan_of("tei")(w, bucket=None), "give --bucket"),
        (lambda w: plan_onnx(w.order(), conda=Conda("onnx_v1")), "no path of a conda environment"),
        (plan_of("tei", image="ghcr.io/huggingface/tei:1.9"), "not in OCI's registry"),
        (plan_of("tei", image=IMAGE.replace("1.9.3", "1.7.0")), "has no image 1.7.0"),
        (plan_of("tei", image=IMAGE.rpartition(":")[0]), "names no version"),
        (plan_of("tei", port=8446), "the platform's own"),
        (plan_of("tei", port=9000), "writes its metrics on"),
        (lambda w: plan_of("onnx")(w, served="a,b=c"), "does not fit into a tag"),
        (
            lambda w: plan_onnx(w.order(), conda=Conda(CONDA), graph=Path("/no/such.onnx")),
            "is no file",
        ),
    ],
)
def test_wrong_input_is_refused_before_anything_is_created(
    world: World, make: Callable[[World], Plan], words: str
) -> None:
    with pytest.raises(Refused, match=rf"(?s)Nothing was created.*{words}"):
        apply(world.run(make(world)))

    assert [] == world.cloud.changes


def test_all_problems_are_told_at_once(world: World) -> None:
    plan = plan_of("tei", image=IMAGE.replace("1.9.3", "1.7.0"))(
        world, shape=Shape(name="VM.Standard9.9")
    )
    world.cloud.storage.buckets["models"].versioning = "Suspended"

    with pytest.raises(Refused) as refused:
        apply(world.run(plan))

    assert 3 == len(refused.value.problems)


def test_a_bucket_that_is_not_there(world: World, plans: Plans) -> None:
    plan = plan_of("tei")(world, bucket=Bucket("other", "tenancy"))

    with pytest.raises(PolicyMissing, match=r"no such resource, or a policy") as missing:
        apply(world.run(plan))

    assert "Allow group <group> to manage data-science-models" in str(missing.value)
    assert [] == world.cloud.changes


def test_a_signature_that_oci_does_not_accept(world: World, plans: Plans) -> None:
    world.cloud.gate.keys.clear()

    with pytest.raises(CloudRefused, match="does not accept the signature"):
        apply(world.run(plans(world)))


def test_a_profile_that_is_not_there(world: World) -> None:
    with pytest.raises(DeployError, match=r"profile OTHER of .* cannot be used"):
        Login(config_file=str(world.config_file), profile="OTHER").open()


@pytest.mark.parametrize(
    ("words", "kind", "cure"),
    [
        ("Out of host capacity for shape VM.GPU.A10.1", NoCapacity, "no machine of this shape"),
        ("The service limit for VM.GPU.A10.1 was exceeded", LimitExceeded, "a limit of the"),
        ("Unable to pull image: denied", ImageNotFound, "cannot be pulled"),
        ("The container failed its health check", HealthCheckFailed, "never became healthy"),
        ("something that nobody knows", CloudRefused, "OCI gave up"),
    ],
)
def test_a_deployment_that_fails_says_why_and_is_made_anew(
    world: World, plans: Plans, words: str, kind: type[DeployError], cure: str
) -> None:
    world.cloud.fate.append(("FAILED", words))
    world.cloud.printed += ["loading the model", "killed: out of memory"]
    plan = plans(world, log=LOG)

    with pytest.raises(kind, match=cure) as failed:
        apply(world.run(plan))

    assert words in str(failed.value)
    assert "loading the model" in str(failed.value)
    assert str(failed.value).endswith("killed: out of memory")
    done = apply(world.run(plan))
    assert "present" == done[-1].state.status
    states = [one["lifecycleState"] for one in world.cloud.deployments.values()]
    assert ["DELETED", "ACTIVE"] == states


def test_the_log_is_read(world: World, plans: Plans) -> None:
    world.cloud.printed += ["first", "last"]

    found = logs(world.run(plans(world, log=LOG)))

    assert ["first", "last"] == [line.rpartition(" ")[2] for line in found]
    assert [] == logs(world.run(plans(world)))


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        ((400, "LimitExceeded", "The limit was exceeded"), LimitExceeded),
        ((400, "QuotaExceeded", "The quota was exceeded"), LimitExceeded),
        ((404, "NotAuthorizedOrNotFound", "Authorization failed"), PolicyMissing),
        ((400, "InvalidParameter", "display name is odd"), CloudRefused),
    ],
)
def test_what_oci_refuses_is_told(
    world: World, plans: Plans, refusal: tuple[int, str, str], kind: type[DeployError]
) -> None:
    world.cloud.refusals.append(refusal)

    with pytest.raises(kind) as refused:
        apply(world.run(plans(world)))

    assert f"status {refusal[0]}, {refusal[1]}, REQUEST/1" == refused.value.detail


def test_vectors_of_another_model_are_noticed(world: World) -> None:
    plan = plan_of("tei")(world)
    with LocalEmbedder(write_tiny_bert(world.folder / "other", seed=9)) as other:
        world.embedder = other
        with pytest.raises(WrongVectors, match="not the model's: the worst cosine"):
            apply(world.run(plan))


def found_by_discovery(world: World) -> list[str]:
    return [
        one["freeformTags"]["embedway"]
        for one in world.cloud.deployments.values()
        if one["freeformTags"]["embedway"] != "off"
    ]


def test_what_has_not_passed_its_check_is_hidden_from_discovery(world: World) -> None:
    """A gateway would serve its vectors, and take them for the model's where it is alone."""
    plan, right = plan_of("tei")(world), world.embedder
    with LocalEmbedder(write_tiny_bert(world.folder / "other", seed=9)) as other:
        world.embedder = other
        with pytest.raises(WrongVectors, match="its tag is embedway: off"):
            apply(world.run(plan))
        assert [] == found_by_discovery(world)
        world.embedder = right
        world.cloud.restart()

        done = apply(world.run(plan))

        assert ["publication"] == [one.step for one in done if one.changed]
        (tag,) = found_by_discovery(world)
        assert re.fullmatch(
            r"tiny, engine=tei, dimensions=24, invoke=predict, revision=[0-9a-f]{12}", tag
        )
        world.embedder = other
        world.cloud.restart()
        with pytest.raises(WrongVectors, match="its tag is embedway: off"):
            apply(world.run(plan))
    assert [] == found_by_discovery(world), "one that has passed before is hidden, too"


def test_an_update_is_hidden_until_it_has_passed_its_check(world: World, plans: Plans) -> None:
    apply(world.run(plans(world)))
    assert 1 == len(found_by_discovery(world))
    shape = Shape(name="VM.Standard.E4.Flex", ocpus=4, memory_gb=64, replicas=2)
    plan, seen = plans(world, shape=shape), list[list[str]]()
    world.cloud.called = lambda: seen.append(list(found_by_discovery(world)))

    apply(world.run(plan))

    assert [[]] == seen, "while its check was asked"
    assert 1 == len(found_by_discovery(world))


def test_a_plan_with_mistakes_is_refused_whole(world: World, plans: Plans, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(plans(world).dump().replace("dimensions: 24", "dimensions: many", 1), "utf-8")

    with pytest.raises(Refused, match=r"plan\.yaml: dimensions: Input should be a valid integer"):
        load_plan(path)
    with pytest.raises(Refused, match="cannot be read"):
        load_plan(tmp_path / "none.yaml")


def test_an_environment_that_the_platform_would_refuse() -> None:
    shape = Shape(name="VM.GPU.A10.1")
    facts = {"display_name": "x", "description": "x", "shape": shape}

    with pytest.raises(ValueError, match="2048"):
        Deployment.model_validate({**facts, "environment": {"A": "x" * 2048}})
    with pytest.raises(ValueError, match="more than 31 characters"):
        Deployment.model_validate({**facts, "environment": {"A" * 32: "x"}})
    with pytest.raises(ValueError, match="platform's own"):
        Container(image=IMAGE, health_check_port=24224)
    with pytest.raises(ValueError, match="needs ocpus"):
        Shape(name="VM.Standard.E4.Flex")


def test_tei_without_weights_that_it_reads(world: World) -> None:
    from doubles.bert_export import export

    folder = Path(world.model)
    (folder / "onnx").mkdir()
    export(folder, folder / "onnx" / "model.onnx")
    (folder / "model.safetensors").unlink()

    with pytest.raises(Refused, match=r"no model\.safetensors"):
        plan_tei(world.order(), tei=TEI(image=IMAGE))
    shutil.rmtree(folder)
