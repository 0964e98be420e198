"""Pulls from a stand-in hub, each in a process of its own."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import TensorProto, helper

from embedway_local import DEFAULT_MODEL, LocalEmbedder, Store
from embedway_local.catalogue import known_models

if TYPE_CHECKING:
    from conftest import Hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "embedway.json"
    }


@pytest.fixture
def repository(hub: "Hub", tiny: Callable) -> dict[str, bytes]:
    """A small BERT as org/tiny, beside files that a pull must leave alone."""
    files = files_of(tiny().folder)
    files |= {"README.md": b"x", "pytorch_model.bin": b"x", "onnx/model_O4.onnx": b"x"}
    files["sentence_roberta_config.json"] = b'{"max_seq_length": 9}'
    hub.repositories["org/tiny"] = files
    return files


def test_a_model_is_brought_with_what_runs_it_and_nothing_else(
    hub: "Hub", repository: dict, pulled: Callable, home: Path
) -> None:
    assert "" == pulled("org/tiny", HF_ENDPOINT=hub.address)

    manifest = Store(home).manifest("org/tiny")
    settings = {"1_Pooling/config.json", "config.json", "sentence_roberta_config.json"}
    assert settings | {"model.safetensors", "tokenizer.json"} == set(manifest.files)
    assert ("org/tiny", COMMIT, "hub") == (manifest.model, manifest.revision, manifest.source)
    assert [] == Store(home).verify("org/tiny")
    made = LocalEmbedder("org/tiny", home=home)
    assert (1, 24) == made.embed(["a b"]).shape
    assert 9 == made.max_tokens
    assert not (home / "partial" / "org--tiny").exists()


def test_weights_are_preferred_where_we_build_the_graph_and_exports_elsewhere(
    hub: "Hub", repository: dict, pulled: Callable, home: Path
) -> None:
    repository["onnx/model.onnx"] = export_with_tensors_in("weights.bin")
    repository["onnx/weights.bin"] = repository["onnx/model.onnx_data"] = b"data"
    hub.repositories["org/other"] = {
        **repository,
        "config.json": json.dumps({"model_type": "other"}).encode(),
    }
    hub.repositories["org/export"] = {
        name: body for name, body in repository.items() if not name.endswith("safetensors")
    }

    custom = {"model_type": "bert", "auto_map": {"AutoModel": "modeling.MyBertModel"}}
    hub.repositories["org/custom"] = {**repository, "config.json": json.dumps(custom).encode()}
    names = ("tiny", "other", "export", "custom")

    for name in names:
        assert "" == pulled(f"org/{name}", HF_ENDPOINT=hub.address)

    weights = {
        name: {
            file
            for file in Store(home).manifest(f"org/{name}").files
            if "onnx" in file or "safetensors" in file
        }
        for name in names
    }
    export = {"onnx/model.onnx", "onnx/weights.bin"}
    assert weights.pop("tiny") == {"model.safetensors"}
    assert {"other": export, "export": export, "custom": export} == weights


def export_with_tensors_in(place: str) -> bytes:
    """Of an ONNX model, what counts here."""
    tensor = TensorProto(data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=place)
    graph = helper.make_graph([], "export", [], [], [tensor])
    body: bytes = helper.make_model(graph).SerializeToString()
    return body


@pytest.mark.parametrize(
    ("place", "words"),
    [("missing.bin", "which the hub does not have"), ("../../config.json", "not a file beside it")],
)
def test_tensors_in_a_file_that_is_not_beside_the_export_are_refused(
    hub: "Hub", repository: dict, pulled: Callable, left: Callable, place: str, words: str
) -> None:
    del repository["model.safetensors"]
    repository["onnx/model.onnx"] = export_with_tensors_in(place)

    said = pulled("org/tiny", HF_ENDPOINT=hub.address)

    assert words in said
    assert [] == left()


def test_a_repository_without_weights_that_we_read_is_refused(
    hub: "Hub", repository: dict, pulled: Callable, left: Callable
) -> None:
    del repository["model.safetensors"]

    said = pulled("org/tiny", HF_ENDPOINT=hub.address)

    assert "neither model.safetensors nor onnx/model.onnx" in said
    assert [] == left()


def test_the_known_model_is_brought_at_its_pinned_commit(
    hub: "Hub", pulled: Callable, home: Path, model_folder: Path, embedder: LocalEmbedder
) -> None:
    hub.repositories[DEFAULT_MODEL] = files_of(model_folder)

    assert "" == pulled(DEFAULT_MODEL, HF_ENDPOINT=hub.address)

    known = known_models()[DEFAULT_MODEL].pin
    assert known is not None
    assert set(known.files) == set(Store(home).manifest(DEFAULT_MODEL).files)
    paths = {path for _, path, _ in hub.asked if "/resolve/" in path}
    assert {f"/{DEFAULT_MODEL}/resolve/{known.revision}/{name}" for name in known.files} == paths
    made = LocalEmbedder(DEFAULT_MODEL, home=home)
    assert embedder.space == made.space
    np.testing.assert_array_equal(embedder.embed(["a text"]), made.embed(["a text"]))


@pytest.mark.parametrize("name", ["tokenizer.json", "model.safetensors"])
def test_a_tampered_file_of_the_known_model_is_refused_and_nothing_is_kept(
    hub: "Hub", pulled: Callable, left: Callable, model_folder: Path, name: str
) -> None:
    files = files_of(model_folder)
    hub.repositories[DEFAULT_MODEL] = {**files, name: files[name][:-1] + b"!"}

    said = pulled(DEFAULT_MODEL, HF_ENDPOINT=hub.address)

    assert said.startswith("ModelCorrupt")
    assert f"{name} has SHA-256" in said
    pin = known_models()[DEFAULT_MODEL].pin
    assert pin is not None
    assert pin.files[name] in said
    assert [] == left()
    hub.repositories[DEFAULT_MODEL] = files
    assert "" == pulled(DEFAULT_MODEL, HF_ENDPOINT=hub.address)


def test_a_file_that_is_not_what_the_hub_announced_is_refused(
    hub: "Hub", repository: dict, pulled: Callable, left: Callable
) -> None:
    repository["model.safetensors announced"] = b"something else"

    said = pulled("org/tiny", HF_ENDPOINT=hub.address)

    assert "model.safetensors came damaged" in said
    assert not [name for name in left() if "safetensors" in name]


def test_a_killed_pull_is_resumed_where_it_ended(
    hub: "Hub",
    repository: dict,
    start_pull: Callable[..., "subprocess.Popen[str]"],
    pulled: Callable,
    home: Path,
) -> None:
    """The hub's client writes 10 MB at a time, and so much is lost at most."""
    body = np.random.default_rng(1).bytes(24_000_000)
    repository["model.safetensors"] = body
    hub.stop_after = 15_000_000
    with start_pull("org/tiny", HF_ENDPOINT=hub.address) as process:
        assert hub.stopped.wait(30)
        part = home / "partial" / "org--tiny" / COMMIT / "model.safetensors"
        for _ in range(200):
            if part.is_file() and part.stat().st_size >= 10_000_000:
                break
            process.poll()
            hub.released.wait(0.02)
        process.kill()
        process.communicate()
    assert not Store(home).has("org/tiny")
    hub.stop_after = None
    hub.asked.clear()

    assert "" == pulled("org/tiny", HF_ENDPOINT=hub.address)

    ranges = [begin for method, _, begin in hub.asked if method == "GET" and begin]
    assert 1 == len(ranges)
    assert int(ranges[0].removeprefix("bytes=").rstrip("-")) >= 10_000_000
    folder = Store(home).folder("org/tiny")
    assert body == (folder / "model.safetensors").read_bytes()
    assert [] == [path for path in folder.parent.iterdir() if path.name.startswith(".incoming")]
    assert not (home / "partial" / "org--tiny").exists()


def test_two_processes_at_once_download_once(
    hub: "Hub", repository: dict, start_pull: Callable, home: Path
) -> None:
    processes = [start_pull("org/tiny", HF_ENDPOINT=hub.address) for _ in range(3)]
    for process in processes:
        with process:
            assert ("", 0) == (process.communicate(timeout=60)[0], process.returncode)

    got = [path for method, path, _ in hub.asked if method == "GET" and "/resolve/" in path]
    assert len(got) == len(set(got))
    assert [] == Store(home).verify("org/tiny")


def test_a_damaged_model_is_replaced(
    hub: "Hub", repository: dict, pulled: Callable, home: Path
) -> None:
    pulled("org/tiny", HF_ENDPOINT=hub.address)
    weights = Store(home).folder("org/tiny") / "model.safetensors"
    weights.write_bytes(b"bit rot")

    assert "" == pulled("org/tiny", HF_ENDPOINT=hub.address)

    assert repository["model.safetensors"] == weights.read_bytes()


@pytest.mark.parametrize(
    ("model", "changes", "reason"),
    [
        ("org/unknown", {}, "it has no org/unknown, or it is private and HF_TOKEN"),
        ("org/gated", {}, "accept their terms there; then set HF_TOKEN"),
        ("org/tiny", {"HF_HUB_OFFLINE": "1"}, "not asked, because HF_HUB_OFFLINE is set"),
        ("org/tiny", {"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot be reached"),
    ],
)
def test_what_cannot_be_had_names_each_source_and_the_cure(
    *,
    hub: "Hub",
    repository: dict,
    pulled: Callable,
    left: Callable,
    home: Path,
    model: str,
    changes: dict[str, str],
    reason: str,
) -> None:
    hub.repositories["org/gated"] = {"config.json": b"{}"}
    hub.gated.add("org/gated")

    said = pulled(model, **{"HF_ENDPOINT": hub.address, **changes})

    assert said.startswith(f"ModelNotFound: {model} is not on this machine")
    assert f"the store: not in {home}" in said
    assert "the hub's cache (HF_HOME): not there" in said
    assert reason in said
    assert f"`embedway models pull {model}` on a machine with a network" in said
    assert "give the path of a folder" in said
    assert [] == left()
    if changes:
        assert [] == hub.asked


def test_the_token_is_sent_to_the_hub_and_not_said(
    hub: "Hub", repository: dict, start_pull: Callable[..., "subprocess.Popen[str]"]
) -> None:
    with start_pull("org/tiny", HF_ENDPOINT=hub.address, HF_TOKEN="hf_secret") as process:
        said = "".join(process.communicate(timeout=60))

    assert {"Bearer hf_secret"} >= {token for token in hub.tokens if token}
    assert "Bearer hf_secret" in hub.tokens
    assert "hf_secret" not in said


def test_a_hub_cannot_write_outside_of_the_models_folder(
    hub: "Hub", repository: dict, pulled: Callable, home: Path, tmp_path: Path
) -> None:
    names = [f"{tmp_path}/evil_Pooling/config.json", "../evil_Pooling/config.json"]
    repository |= dict.fromkeys([*names, "a\\evil_Pooling/config.json"], b"{}")

    assert "" == pulled("org/tiny", HF_ENDPOINT=hub.address)

    assert not any("evil" in str(path) for path in tmp_path.rglob("*"))
    assert not any("evil" in name for name in Store(home).manifest("org/tiny").files)


def test_a_commit_that_is_none_is_refused(
    hub: "Hub", repository: dict, pulled: Callable, left: Callable
) -> None:
    hub.commit = "../../../evil"

    assert "which is none" in pulled("org/tiny", HF_ENDPOINT=hub.address)
    assert [] == left()
