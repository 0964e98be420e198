"""How TEI is started: everything that decides a vector is stated, in each version's words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from doubles.oci_deployed import IMAGE, World, plan_of
from embedway_deploy.step import Deployment, environment_bytes
from embedway_deploy.tei.plan import version_of


def deployment(world: World, image: str = IMAGE) -> Deployment:
    step = plan_of("tei", image=image)(world).step("deployment")
    assert isinstance(step, Deployment)
    return step


@pytest.mark.parametrize(
    ("tag", "version"),
    [
        ("1.9.3", (1, 9, 3)),
        ("cpu-1.8", (1, 8)),
        ("86-1.5.0", (1, 5, 0)),
        ("hopper-1.9.0-grpc", (1, 9, 0)),
        ("latest", ()),
    ],
)
def test_the_version_is_read_from_the_tag(tag: str, version: tuple[int, ...]) -> None:
    assert version == version_of(f"iad.ocir.io/tenancy/tei:{tag}")


@pytest.mark.parametrize(
    ("version", "there", "missing"),
    [
        ("1.5.0", {"--auto-truncate"}, {"--served-model-name"}),
        ("1.9.3", {"--served-model-name"}, {"--auto-truncate"}),
    ],
)
def test_flags_of_each_version(
    world: World, version: str, there: set[str], missing: set[str]
) -> None:
    step = deployment(world, IMAGE.replace("1.9.3", version))
    assert step.container is not None
    words = set(step.container.command)

    assert {"--pooling", "mean", "--max-client-batch-size", "32"} | there <= words
    assert set() == missing & words
    assert "true" == step.environment["AUTO_TRUNCATE"]
    assert "/v1/embeddings" == step.environment["MODEL_DEPLOY_PREDICT_ENDPOINT"]
    assert environment_bytes(step.environment) < 2048


def test_the_longest_text_is_stated(world: World) -> None:
    """TEI takes the number of positions otherwise."""
    model = Path(world.model)
    (model / "tokenizer_config.json").write_text('{"model_max_length": 12}')
    (model / "pytorch_model.bin").write_bytes(b"pickled")

    source = plan_of("tei")(world).sources[0]

    written = json.loads((Path(source.folder) / "sentence_bert_config.json").read_text())
    assert {"do_lower_case": False, "max_seq_length": 12} == written
    assert "pytorch_model.bin" not in {file.path for file in source.files}
    assert not (model / "sentence_bert_config.json").exists(), "the model's own folder is as it was"
