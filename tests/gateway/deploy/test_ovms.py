"""What OpenVINO Model Server is given: folders that OpenVINO runs, pooled as the model is."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.bert_export import export
from doubles.oci_deployed import World, deploying
from doubles.openvino_environment import openvino_python
from doubles.tiny_bert import write_tiny_bert
from embedway_deploy.error import DeployError, Refused, WrongVectors
from embedway_deploy.lifecycle import apply, destroy, prove
from embedway_deploy.order import Bucket, Order
from embedway_deploy.ovms.plan import OVMS, plan_ovms
from embedway_deploy.ovms.verify import Compared, verify_ovms
from embedway_deploy.ovms.version import Version, version_of
from embedway_deploy.plan import OCIPlace, Plan
from embedway_deploy.step import Deployment, Shape, environment_bytes
from embedway_local import LocalEmbedder, embedway_home

IMAGE = "iad.ocir.io/tenancy/model_server:"


def plan(world: World, tag: str = "2025.4", *, model: str | None = None, **changes: object) -> Plan:
    order: Order = world.order(model=model or world.model, home=world.folder / "home")
    server = {"python": str(openvino_python()), **changes}
    return plan_ovms(order, ovms=OVMS(image=IMAGE + tag, **server))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all, so that a model is converted once."""
    folder = tmp_path_factory.mktemp("ovms")
    model = str(write_tiny_bert(folder / "tiny", pieces=True))
    with (
        LocalEmbedder(model) as embedder,
        deploying(folder, model, embedder, isolated=False) as made,
    ):
        made.cloud.images["model_server"] = ("2024.5", "2025.3", "2025.4")
        yield made


@pytest.fixture(scope="module")
def first_token(world: World) -> str:
    """A model that pools its first token."""
    return str(write_tiny_bert(world.folder / "first", pooling="cls", pieces=True))


def proved(world: World, made: Plan) -> str:
    (done,) = prove(world.run(made, python=str(openvino_python())))
    return done.state.words


def test_the_default_model_equals_the_local_runtime(model_in_store: str, tmp_path: Path) -> None:
    """float32 within 1e-4 of each number, int8 within a cosine of 0.99."""
    found = {}
    for weights, agreement in (("fp32", 0.9999), ("int8", 0.99)):
        folder = converted(model_in_store, tmp_path, weights)
        found[weights] = verify_ovms(
            folder,
            model_in_store,
            max_tokens=256,
            agreement=agreement,
            tolerance=1e-4 if weights == "fp32" else None,
            python=str(openvino_python()),
        )

    assert 5 == found["fp32"].texts, "one of them longer than the model reads"
    assert found["fp32"].difference < 1e-4
    assert 0.99 <= found["int8"].worst < 0.9999


def converted(model: str, home: Path, weights: str) -> Path:
    place = OCIPlace(region="r", compartment_id="c", project_id="p")
    (home / "models").exists() or (home / "models").symlink_to(embedway_home() / "models")
    order = Order(
        model=model,
        place=place,
        shape=Shape(name="VM.GPU.A10.1"),
        bucket=Bucket("b", "n"),
        home=home,
        name=weights,
    )
    server = OVMS(image=f"{IMAGE}2026.3", weights=weights, python=str(openvino_python()))  # type: ignore[arg-type]
    return Path(plan_ovms(order, ovms=server).sources[0].folder)


@pytest.mark.parametrize(
    ("tag", "files"),
    [
        ("2024.5", {"graph.pbtxt", "subconfig.json", "embeddings/1/model.xml"}),
        ("2025.3", {"graph.pbtxt", "openvino_model.xml", "openvino_tokenizer.xml", "config.json"}),
    ],
)
def test_each_layout_is_run(world: World, first_token: str, tag: str, files: set[str]) -> None:
    made = plan(world, tag, model=first_token)

    assert "1.000000" in proved(world, made)
    source = made.sources[0]
    assert {f"first/{one}" for one in files} <= {file.path for file in source.files}
    repository = json.loads((Path(source.folder) / "config.json").read_text())
    listed = [{"name": "first", "base_path": "first"}]
    assert {"mediapipe_config_list": listed, "model_config_list": []} == repository
    graph = (Path(source.folder) / "first" / "graph.pbtxt").read_text()
    assert (tag == "2025.3") == ("pooling: CLS" in graph and "truncate: true" in graph)


def test_an_export_with_kinds_of_tokens_is_run_without_them(world: World, tmp_path: Path) -> None:
    """Not every tokenizer gives them."""
    other = tmp_path / "exported"
    shutil.copytree(world.model, other)
    (other / "onnx").mkdir()
    export(other, other / "onnx" / "model.onnx")
    (other / "model.safetensors").unlink()

    made = plan(world, model=str(other))

    assert compared(made, world).difference < 1e-4


def test_the_server_reads_the_models_longest_text(world: World) -> None:
    """It takes the positions for it, else."""
    stated = plan(world).sources[0]

    config = json.loads((Path(stated.folder) / "tiny" / "config.json").read_text())

    assert world.embedder.max_tokens == config["max_position_embeddings"]


def test_another_pooling_is_noticed(world: World) -> None:
    made = plan(world)
    graph = Path(made.sources[0].folder) / "tiny" / "graph.pbtxt"
    right = graph.read_text()
    graph.write_text(right.replace("MEAN", "CLS"))
    try:
        with pytest.raises(WrongVectors, match="other vectors than the local runtime"):
            compared(made, world)
    finally:
        graph.write_text(right)
    assert compared(made, world).worst > 0.9999


def test_vectors_that_are_no_numbers_are_noticed(world: World, tmp_path: Path) -> None:
    """As of fp16 weights that overflow; as if OpenVINO gave them."""
    made = plan(world)
    row = ", ".join(["float('nan')"] * world.embedder.dimensions)
    python = tmp_path / "python"
    python.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        "count = len(json.load(sys.stdin)['texts'])\n"
        f"open(sys.argv[-1], 'w').write(json.dumps({{'vectors': [[{row}]] * count}}))\n"
    )
    python.chmod(0o755)

    for tolerance in (1e-4, None):
        with pytest.raises(WrongVectors, match="the worst cosine is nan"):
            verify_ovms(
                Path(made.sources[0].folder),
                world.model,
                max_tokens=world.embedder.max_tokens,
                agreement=0.9999,
                tolerance=tolerance,
                python=str(python),
            )


def compared(made: Plan, world: World) -> Compared:
    return verify_ovms(
        Path(made.sources[0].folder),
        world.model,
        max_tokens=world.embedder.max_tokens,
        agreement=0.9999,
        tolerance=1e-4,
        python=str(openvino_python()),
    )


@pytest.mark.parametrize("tag", ["2024.5", "2025.2.1", "2025.3"])
def test_mean_pooling_is_refused_where_the_server_takes_the_first_token(
    world: World, tag: str
) -> None:
    with pytest.raises(Refused, match=r"every vector would be wrong with status 200.*2025\.4 or"):
        plan(world, tag)


@pytest.mark.parametrize(
    ("tag", "changes", "words"),
    [
        ("latest", {}, "does not say its version"),
        ("2023.3", {}, "does not embed"),
        ("2025.4", {"port": 9000}, "gRPC"),
        ("2025.4", {"port": 8446}, "the platform's own"),
    ],
)
def test_wrong_input_is_refused(
    world: World, tag: str, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(Refused, match=words):
        plan(world, tag, **changes)


@pytest.mark.parametrize("served", ["/srv/project", "../../project", "BAAI//bge"])
def test_a_served_name_stays_inside_of_the_repository(world: World, served: str) -> None:
    order: Order = world.order(home=world.folder / "home", served=served)

    with pytest.raises(Refused, match="cannot be a folder in the server's repository"):
        plan_ovms(order, ovms=OVMS(image=f"{IMAGE}2025.4", python=str(openvino_python())))


def test_a_length_that_the_server_cannot_know_is_refused(world: World, first_token: str) -> None:
    with pytest.raises(Refused, match="leave --no-truncate out"):
        plan(world, "2024.5", model=first_token, truncate=False)


def test_without_openvino_the_extra_is_named(world: World, tmp_path: Path) -> None:
    model = str(write_tiny_bert(tmp_path / "other", seed=9, pieces=True))
    with pytest.raises(DeployError, match=r"embedway\[deploy-ovms\]"):
        plan(world, model=model, python=sys.executable)


def test_from_nothing_to_vectors_once(world: World) -> None:
    made = plan(world)

    done = apply(world.run(made, python=str(openvino_python())))

    assert {"present"} == {one.state.status for one in done}
    assert float(done[-2].state.facts["cosine"]) > 0.99999
    before = list(world.cloud.changes)
    again = apply(world.run(plan(world), python=str(openvino_python())))
    assert before == world.cloud.changes
    assert not [one.step for one in again if one.changed]
    destroy(world.run(made))
    assert [] == world.cloud.remains


def test_what_the_platform_is_told(world: World) -> None:
    step = plan(world, invoke="suffix").step("deployment")
    assert isinstance(step, Deployment)
    assert step.container is not None

    assert ["/v3/embeddings"] == [one.path for one in step.container.endpoints]
    step = plan(world).step("deployment")
    assert isinstance(step, Deployment)
    wanted = {
        "MODEL_DEPLOY_PREDICT_ENDPOINT": "/v3/embeddings",
        "MODEL_DEPLOY_HEALTH_ENDPOINT": "/v2/health/ready",
    }
    assert wanted == step.environment
    assert environment_bytes(step.environment) < 2048
    assert {"embedway": "off"} == step.tags, "until it has passed its check"


@pytest.mark.parametrize(
    ("tag", "version"),
    [
        ("2025.4.1-gpu", Version(2025, 4)),
        ("2024.5", Version(2024, 5)),
        ("v2026.3", Version(2026, 3)),
    ],
)
def test_the_version_is_read_from_the_tag(tag: str, version: Version) -> None:
    assert version == version_of(IMAGE + tag)
