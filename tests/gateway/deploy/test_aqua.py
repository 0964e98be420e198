"""AI Quick Actions: its tags, its environment, its file of shapes, and vectors in the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from doubles.oci_cloud import COMPARTMENT, PROJECT
from doubles.oci_deployed import IMAGE, World
from doubles.oci_identity import FINGERPRINT, TENANCY, USER, pem, private_key
from embedway_deploy.aqua.plan import Aqua, plan_aqua
from embedway_deploy.error import Refused
from embedway_deploy.lifecycle import apply, destroy
from embedway_deploy.plan import Plan
from embedway_deploy.precision import Dtype
from embedway_deploy.step import Check, Deployment, Model, Shape, environment_bytes
from embedway_gateway.cli.app import application
from embedway_gateway.config.schema import Config
from embedway_gateway.discovery import OCISource, control_plane
from embedway_gateway.precision import AGREEMENT
from embedway_gateway.wire import WireTransport
from embedway_upstream.credentials.accept import credentials_from

VLLM = "dsmc://odsc-vllm-serving:0.11.0.1"
GPU = Shape(name="VM.GPU.A10.1")


def plan(world: World, image: str = VLLM, **changes: object) -> Plan:
    order = world.order(**{"shape": GPU, **changes})
    return plan_aqua(order, aqua=Aqua(image=image))


def parts(made: Plan) -> tuple[Model, Deployment]:
    model, deployment = made.step("model"), made.step("deployment")
    assert isinstance(model, Model)
    assert isinstance(deployment, Deployment)
    return model, deployment


@pytest.mark.parametrize("image", [VLLM, IMAGE])
def test_from_nothing_to_vectors_once(world: World, image: str) -> None:
    made = plan(world, image)

    done = apply(world.run(made))

    assert {"present"} == {one.state.status for one in done}
    assert float(done[-2].state.facts["cosine"]) > 0.99999
    before = list(world.cloud.changes)
    apply(world.run(plan(world, image)))
    assert before == world.cloud.changes
    destroy(world.run(made))
    assert [] == world.cloud.remains


def test_tags_and_environment_are_those_of_ai_quick_actions(world: World) -> None:
    made = plan(world)
    model, deployment = parts(made)

    assert {"OCI_AQUA": "active", "task": "text_embedding"}.items() <= model.tags.items()
    assert "odsc-vllm-serving" == model.metadata["deployment-container"]
    upload = made.step("upload")
    assert upload.uri == model.metadata["artifact_location"]  # type: ignore[union-attr]
    assert {"OCI_AQUA": "active", "aqua_model_name": "tiny"}.items() <= deployment.tags.items()
    environment = deployment.environment
    assert "/v1/embeddings" == environment["MODEL_DEPLOY_PREDICT_ENDPOINT"]
    assert "--served-model-name tiny" in environment["PARAMS"]
    assert "--runner pooling --max-model-len 20" in environment["PARAMS"]
    assert environment_bytes(environment) < 2048


@pytest.mark.parametrize(
    ("weights", "asked", "dtype", "precision"),
    [
        ("float32", None, "float16", "fp16"),
        ("bfloat16", None, "bfloat16", "bf16"),
        ("float32", "float32", "float32", "fp32"),
    ],
)
def test_the_number_format_is_stated(
    world: World, weights: str, asked: Dtype | None, dtype: str, precision: str
) -> None:
    """As vLLM's `--dtype auto` would choose, which halves float32."""
    config = Path(world.model) / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "torch_dtype": weights}))

    made = plan_aqua(world.order(shape=GPU), aqua=Aqua(image=VLLM, dtype=asked))

    _, deployment = parts(made)
    assert deployment.environment["PARAMS"].endswith(f"--dtype {dtype}")
    check = made.step("check")
    assert isinstance(check, Check)
    assert (precision, AGREEMENT[check.precision]) == (check.precision, check.agreement)
    published = made.step("publication").tags["embedway"]  # type: ignore[union-attr]
    assert (precision != "fp32") == published.endswith(f"precision={precision}")
    assert (precision != "fp32") == any("another vector space" in one for one in made.notes)


def test_a_tei_of_ones_own_is_said_in_the_models_metadata(world: World) -> None:
    model, deployment = parts(plan(world, IMAGE))

    assert "odsc-tei-serving" == model.metadata["deployment-container"]
    assert IMAGE == model.metadata["deployment-container-uri"]
    assert deployment.container is not None
    assert " ".join(deployment.container.command) == model.metadata["container-cmd-var"]
    assert "PARAMS" not in deployment.environment


def test_an_older_vllm_is_told_in_its_words(world: World) -> None:
    _, deployment = parts(plan(world, "dsmc://odsc-vllm-serving:0.9.1.3"))

    assert "--task embed" in deployment.environment["PARAMS"]


def test_the_file_of_shapes_is_what_ai_quick_actions_reads(world: World) -> None:
    """Fields as in `ads/aqua/modeldeployment/config_loader.py`."""
    flexible = Shape(name="VM.Standard.E4.Flex", ocpus=4, memory_gb=64)
    made = plan_aqua(world.order(shape=GPU), aqua=Aqua(image=VLLM, shapes=(flexible,)))
    written = Path(made.sources[0].folder) / "config" / "deployment_config.json"

    read = json.loads(written.read_text())

    # What AI Quick Actions sets itself is left out.
    parameters = {"VLLM_PARAMS": "--runner pooling --max-model-len 20 --dtype float16"}
    sizes = {"configs": [{"ocpu": 4.0, "memory_in_gbs": 64.0}], "type": "CPU"}
    assert {
        "configuration": {
            "VM.GPU.A10.1": {"parameters": parameters},
            "VM.Standard.E4.Flex": {"parameters": parameters, "shape_info": sizes},
        },
        "shape": ["VM.GPU.A10.1", "VM.Standard.E4.Flex"],
    } == read


@pytest.mark.parametrize(
    ("image", "changes", "words"),
    [
        ("iad.ocir.io/tenancy/vllm:0.11.0", {}, "neither Oracle's vLLM"),
        ("dsmc://odsc-vllm-serving", {}, "names no version"),
        (VLLM, {"shape": Shape(name="VM.Standard2.4")}, "has no GPU"),
        (VLLM, {"served": "a b"}, "cannot stand in a command line"),
        (VLLM, {"bucket": None}, "give --bucket"),
    ],
)
def test_wrong_input_is_refused(
    world: World, image: str, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(Refused, match=words):
        plan(world, image, **changes)


async def test_the_command_and_what_the_gateway_finds(world: World) -> None:
    options = ["deploy", "aqua", world.model, "--image", VLLM, "--region", "us-ashburn-1"]
    options += ["--compartment-id", COMPARTMENT, "--project-id", PROJECT]
    options += ["--service-endpoint", world.cloud.url, "--bucket", "oci://models@tenancy"]
    options += ["--config-file", str(world.config_file), "--offer-shape", "VM.GPU.A10.2"]
    runner = CliRunner()
    looked = runner.invoke(application(), [*options, "--dry-run"])
    assert 0 == looked.exit_code, looked.output
    assert [] == world.cloud.seen
    assert "tag OCI_AQUA: active" in looked.stdout

    world.cloud.turns = 1
    done = runner.invoke(application(), [*options, "--yes"])

    assert 0 == done.exit_code, done.output
    Config.model_validate(yaml.safe_load(done.stdout.partition("by its tag:\n\n")[2]))
    assert [("tiny", "vllm", 24)] == await discovered(world)


async def discovered(world: World) -> list[tuple[str, str, int | None]]:
    from oci.signer import Signer

    key = pem(private_key()).decode()
    signer = Signer(TENANCY, USER, FINGERPRINT, None, private_key_content=key)
    credentials, transport = credentials_from(signer), WireTransport()
    credentials.refresh()
    try:
        source = OCISource(
            endpoint=control_plane("", world.cloud.url),
            compartment_id=COMPARTMENT,
            credentials=credentials,
            transport=transport,
        )
        return [(one.name, one.engine, one.dimensions) for one in await source.list()]
    finally:
        await transport.close()
