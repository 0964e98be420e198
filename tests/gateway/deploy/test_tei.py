"""How TEI is started: everything that decides a vector is stated, in each version's words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from doubles.oci_deployed import IMAGE, World, plan_of
from doubles.tiny_bert import write_tiny_bert
from embedway_deploy.error import WrongVectors
from embedway_deploy.lifecycle import apply
from embedway_deploy.step import Deployment, environment_bytes
from embedway_deploy.tei.plan import version_of
from embedway_local import LocalEmbedder


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


def test_a_batch_has_room_for_the_longest_text(world: World, tmp_path: Path) -> None:
    """TEI cuts texts to what fits into a batch."""
    longest = write_tiny_bert(tmp_path / "longest", positions=32768)

    for model, wanted in ((world.model, "16384"), (str(longest), "32768")):
        step = plan_of("tei")(world, model=model).step("deployment")
        assert isinstance(step, Deployment)
        assert step.container is not None
        words = step.container.command
        assert wanted == words[words.index("--max-batch-tokens") + 1]


@pytest.mark.parametrize(
    ("positions", "reads"), [(1024, 512), (1024, 700), (2048, 1024), (4096, 2048), (4096, 3000)]
)
def test_a_server_that_cuts_too_early_is_noticed(
    world: World, tmp_path: Path, positions: int, reads: int
) -> None:
    words = "music water house money a b x"
    model = str(write_tiny_bert(tmp_path / "long" / "tiny", positions=positions, more=words))
    plan = plan_of("tei")(world, model=model)
    with LocalEmbedder(model) as world.embedder:
        world.longest = reads
        with pytest.raises(WrongVectors, match=r"not the model's|cuts texts before the model does"):
            apply(world.run(plan))
        world.longest = positions
        world.cloud.restart()

        done = apply(world.run(plan))

    said = f"texts of almost {positions} tokens are read to their ends"
    assert said in done[-2].state.words


def test_a_text_that_takes_too_long_is_not_wrong(world: World, tmp_path: Path) -> None:
    model = str(write_tiny_bert(tmp_path / "long" / "tiny", positions=4096, more="a b x"))
    plan = plan_of("tei")(world, model=model)
    with LocalEmbedder(model) as world.embedder:
        world.slow = 3000

        done = apply(world.run(plan))

    assert "texts of almost 4096 tokens were not answered" in done[-2].state.words
    assert "present" == done[-1].state.status


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
