"""The hub's cache, as huggingface_hub lays it out: blobs, snapshots of links, refs."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest

from embedway_local import DEFAULT_MODEL, LocalEmbedder, LocalReranker, ModelNotFound, Store
from embedway_local.catalogue import known_models

KNOWN = known_models()[DEFAULT_MODEL].pin
assert KNOWN is not None
REFERENCE = Path(__file__).parent.parent / "reference"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "hf" / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    return folder


PIPELINE = [
    {"type": "sentence_transformers.models.Transformer", "path": ""},
    {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
]


@pytest.fixture
def whole(tiny: Callable) -> Callable[..., Path]:
    """A folder as sentence-transformers saves it."""

    def make(*names: str, **options: object) -> Path:
        folder: Path = tiny(*names, **options).folder
        (folder / "modules.json").write_text(json.dumps(PIPELINE))
        return folder

    return make


def add(
    cache: Path, model: str, commit: str, source: Path, *, main: bool = False, age: int = 0
) -> Path:
    """Put a folder's files into the cache as a commit of the model."""
    repository = cache / f"models--{model.replace('/', '--')}"
    snapshot = repository / "snapshots" / commit
    (repository / "blobs").mkdir(parents=True, exist_ok=True)
    for path in source.rglob("*"):
        if path.is_file() and path.name != "embedway.json":
            place = snapshot / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            name = str(path.relative_to(source)).replace(os.sep, "-")
            blob = repository / "blobs" / f"{commit}-{name}"
            shutil.copyfile(path, blob)
            place.symlink_to(os.path.relpath(blob, place.parent))
    if main:
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / "main").write_text(commit)
    os.utime(snapshot, (1_000_000_000 - age, 1_000_000_000 - age))
    return snapshot


def test_the_default_model_is_found_without_a_network(
    tmp_path: Path, model_folder: Path, environment: dict[str, str]
) -> None:
    """In a process of its own, by HF_HOME alone; only safetensors are there."""
    add(tmp_path / "hf" / "hub", DEFAULT_MODEL, KNOWN.revision, model_folder, main=True)
    script = "from embedway_local import LocalEmbedder; print(LocalEmbedder().embed(['a']).shape)"

    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**environment, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "(1, 384)" == done.stdout.strip()


def test_a_known_model_counts_by_its_digests_whatever_its_commit(
    cache: Path, model_folder: Path, home: Path, embedder: LocalEmbedder
) -> None:
    tampered = add(cache, DEFAULT_MODEL, "a" * 40, model_folder, main=True)
    config = tampered / "config.json"
    config.write_text(config.read_text().replace("1e-12", "1e-11"))
    add(cache, DEFAULT_MODEL, "b" * 40, model_folder)

    made = LocalEmbedder(DEFAULT_MODEL, home=home)

    assert embedder.space == made.space
    assert not Store(home).has(DEFAULT_MODEL)


def test_files_that_are_not_pinned_decide_nothing(
    cache: Path, model_folder: Path, home: Path, embedder: LocalEmbedder
) -> None:
    snapshot = add(cache, DEFAULT_MODEL, KNOWN.revision, model_folder)
    (snapshot / "onnx").mkdir()
    (snapshot / "onnx" / "model.onnx").write_bytes(b"an export that nobody pinned")
    (snapshot / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
    (snapshot / "config_sentence_transformers.json").write_text('{"prompts": {"query": "x"}}')
    flags = {"do_lower_case": False, "truncation_side": "left"}
    (snapshot / "tokenizer_config.json").write_text(json.dumps(flags))

    made = LocalEmbedder(DEFAULT_MODEL, home=home)

    assert embedder.space == made.space
    np.testing.assert_array_equal(embedder.embed(["A"]), made.embed(["A"]))


def test_of_several_snapshots_main_is_taken_else_the_newest(
    cache: Path, whole: Callable, home: Path
) -> None:
    models = [whole(str(index), layer_norm_eps=0.1**index) for index in range(3)]
    for index, folder in enumerate(models):
        add(cache, "org/tiny", f"{index}" * 40, folder, age=10 * abs(index - 1))

    newest = LocalEmbedder("org/tiny", home=home)
    (cache / "models--org--tiny" / "refs").mkdir()
    (cache / "models--org--tiny" / "refs" / "main").write_text("2" * 40)
    main = LocalEmbedder("org/tiny", home=home)

    def vectors(folder: Path) -> np.ndarray:
        return LocalEmbedder(folder, home=home).embed(["a b c"])

    np.testing.assert_array_equal(vectors(models[1]), newest.embed(["a b c"]))
    np.testing.assert_array_equal(vectors(models[2]), main.embed(["a b c"]))


def test_a_snapshot_that_is_not_whole_is_passed_over(
    cache: Path, whole: Callable, home: Path
) -> None:
    folder = whole()
    missing = {"a": "tokenizer.json", "c": "model.safetensors", "d": "modules.json"}
    for commit, name in missing.items():
        snapshot = add(cache, "org/tiny", commit * 40, folder, main=True)
        (snapshot / name).unlink()
    prompts = {"prompts": {"query": "a b c "}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    add(cache, "org/tiny", "b" * 40, folder, age=999)

    made = LocalEmbedder("org/tiny", home=home)

    asked = made.embed(["d"], input_type="query")
    np.testing.assert_allclose(asked, made.embed(["a b c d"]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("pooling", [None, "mean"])
def test_files_that_another_program_took_are_no_pipeline(
    cache: Path, tiny: Callable, home: Path, monkeypatch: pytest.MonkeyPatch, pooling: str | None
) -> None:
    """What the others would have said, a Dense module or prompts, would be dropped in silence."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    add(cache, "org/tiny", "a" * 40, tiny().folder, main=True)

    with pytest.raises(ModelNotFound, match=r"\(HF_HOME\): not there, or not whole"):
        LocalEmbedder("org/tiny", home=home, pooling=pooling)


@pytest.mark.parametrize("mark", [".no_exist/{commit}/modules.json", ".gitattributes"])
def test_a_repository_that_is_known_to_have_no_pipeline_is_used(
    cache: Path, tiny: Callable, home: Path, mark: str
) -> None:
    """The hub's client keeps what it asked for in vain; a whole download has .gitattributes."""
    commit = "a" * 40
    snapshot = add(cache, "org/tiny", commit, tiny(pooling=None).folder, main=True)
    place = snapshot / mark
    if "{commit}" in mark:
        place = snapshot.parent.parent / mark.format(commit=commit)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch()

    assert (1, 24) == LocalEmbedder("org/tiny", home=home, pooling="mean").embed(["a"]).shape


def test_a_reranker_has_no_pipeline(cache: Path, home: Path) -> None:
    """The library that reads it takes no modules.json."""
    add(cache, "org/ranks", "a" * 40, REFERENCE / "rerankers" / "bert", main=True)

    assert (1,) == LocalReranker("org/ranks", home=home).rerank("a", ["b"]).shape


def test_of_weights_and_an_export_the_same_is_used_as_after_a_pull(
    cache: Path, whole: Callable, home: Path
) -> None:
    folder = whole()
    plain = LocalEmbedder(folder, home=home)
    snapshot = add(cache, "org/tiny", "a" * 40, folder, main=True)
    (snapshot / "onnx").mkdir()
    (snapshot / "onnx" / "model.onnx").write_bytes(b"an export")

    assert plain.space == LocalEmbedder("org/tiny", home=home).space
