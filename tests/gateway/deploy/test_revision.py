"""What a deployment says of its weights, by which discovery keeps a model's fingerprint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from doubles.bert_export import export
from doubles.oci_deployed import CONDA, IMAGE, World
from doubles.tiny_bert import write_tiny_bert
from embedway_deploy.aicore.place import AICorePlace
from embedway_deploy.aqua.plan import Aqua, plan_aqua
from embedway_deploy.infinity.plan import Infinity, plan_infinity
from embedway_deploy.onnx.artifact import Conda
from embedway_deploy.onnx.plan import plan_onnx
from embedway_deploy.order import NamedModel
from embedway_deploy.plan import Plan
from embedway_deploy.precision import Dtype
from embedway_deploy.step import Publication, Shape
from embedway_deploy.tei.plan import TEI, plan_tei
from embedway_gateway.discovery.tag import read_tag


def onnx(world: World, model: str, graph: Path | None = None) -> Plan:
    return plan_onnx(world.order(model=model), conda=Conda(CONDA), graph=graph)


def tei(world: World, model: str) -> Plan:
    return plan_tei(world.order(model=model), tei=TEI(image=IMAGE))


def aqua(world: World, model: str, dtype: Dtype = "float32") -> Plan:
    order = world.order(model=model, shape=Shape(name="VM.GPU.A10.1"))
    image = "dsmc://odsc-vllm-serving:0.11.0.1"
    return plan_aqua(order, aqua=Aqua(image=image, dtype=dtype))


def infinity(world: World, model: str, dtype: Dtype = "float32") -> Plan:
    place = AICorePlace(api_url="https://api.example.com", scenario_id="scenario")
    image = "registry.example.com/infinity:0.0.77"
    facts = Infinity(image=image, object_store="store", dtype=dtype)
    return plan_infinity(NamedModel(model=model), place, infinity=facts)


def revision(plan: Plan) -> str:
    """As discovery reads it."""
    if plan.engine == "infinity":
        return str(plan.step("configuration").parameters["embedwayRevision"])  # type: ignore[union-attr]
    published = plan.step("publication")
    assert isinstance(published, Publication)
    tag = read_tag(published.tags)
    assert tag is not None
    assert tag.revision is not None
    return tag.revision


@pytest.mark.parametrize("engine", [tei, aqua, infinity])
def test_every_engine_says_the_same_of_the_same_weights(
    world: World, engine: Callable[[World, str], Plan]
) -> None:
    assert revision(engine(world, world.model)) == revision(onnx(world, world.model))


@pytest.mark.parametrize(
    "other", [{"seed": 8}, {"pooling": "cls"}, {"positions": 12}, {"more": "other"}], ids=str
)
def test_other_weights_pooling_length_or_words_are_another_revision(
    world: World, tmp_path: Path, other: dict
) -> None:
    model = str(write_tiny_bert(tmp_path / "elsewhere" / "tiny", **other))

    assert revision(tei(world, model)) != revision(tei(world, world.model))


def test_another_number_format_is_another_revision(world: World) -> None:
    """Its vectors are not the same, and a fingerprint says nothing else of it."""
    half = [revision(engine(world, world.model, "float16")) for engine in (aqua, infinity)]

    assert half[0] == half[1] != revision(onnx(world, world.model))


def test_a_copy_of_another_name_is_the_same_revision(world: World, tmp_path: Path) -> None:
    model = str(write_tiny_bert(tmp_path / "copied"))

    assert revision(tei(world, model)) == revision(tei(world, world.model))


def test_an_export_of_ones_own_is_what_its_bytes_are(world: World, tmp_path: Path) -> None:
    """It may be of other weights than the folder that it is deployed with."""
    mine = tmp_path / "model.onnx"
    export(Path(world.model), mine)
    made = revision(onnx(world, world.model, mine))
    assert made != revision(onnx(world, world.model))
    assert made == revision(onnx(world, world.model, mine))

    export(write_tiny_bert(tmp_path / "other", seed=8), mine)

    assert made != revision(onnx(world, world.model, mine))
