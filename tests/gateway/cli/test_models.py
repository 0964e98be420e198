from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from embedway_gateway.cli.app import application
from embedway_gateway.cli.embed import DEFAULT_MODEL
from embedway_local import DEFAULT_MODEL as LOCAL_DEFAULT_MODEL
from embedway_local import ModelNotFound, Store

Run = Callable[..., Result]


def arrive(model: str, store: Store) -> None:
    """Stands for a download."""
    with store.alone(model), store.receive(model, source="hub") as arrival:
        arrival.revision = "0123456789abcdef"
        (arrival.folder / "config.json").write_text('{"hidden_size": 12}')
        (arrival.folder / "model.safetensors").write_bytes(b"x" * 1_500_000)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("EMBEDWAY_HOME", str(tmp_path))
    monkeypatch.setattr("embedway_local.pull", arrive)
    return Store(tmp_path)


@pytest.fixture
def run(store: Store) -> Run:
    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(application(), ["models", *arguments])

    return invoke


def test_an_empty_store_says_where_it_is_and_what_to_do(run: Run, store: Store) -> None:
    result = run("list")

    assert (result.exit_code, result.stdout) == (0, "")
    assert f"No models in {store.home}" in result.stderr
    assert f"embedway models pull {LOCAL_DEFAULT_MODEL}" in result.stderr
    assert run("list", "--json").stdout == "[]\n"


def test_models_are_listed_whole_even_where_lines_are_short(run: Run, store: Store) -> None:
    arrive("org/some-model", store)

    head, line = run("list").stdout.splitlines()

    names = ["model", "revision", "source", "size", "dimensions", "precisions", "path"]
    assert head.split() == names
    folder = str(store.folder("org/some-model"))
    assert line.split() == ["org/some-model", "0123456789ab", "hub", "1.5", "MB", "12", folder]


def test_a_list_for_programs(run: Run, store: Store) -> None:
    arrive("org/some-model", store)

    (model,) = json.loads(run("list", "--json").stdout)

    assert model["bytes"] > 1_500_000
    assert (model["model"], model["revision"]) == ("org/some-model", "0123456789abcdef")
    assert (model["source"], model["dimensions"]) == ("hub", 12)
    assert Path(model["path"]) == store.folder("org/some-model")


def test_what_was_measured_is_listed(model_in_store: str) -> None:
    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(application(), ["models", *arguments])

    pulled = invoke("pull", model_in_store, "--precision", "int8")
    listed = json.loads(invoke("list", "--json").stdout)

    assert pulled.exit_code == 0
    assert "in int8: cosine with fp32 0.99" in pulled.stderr
    (found,) = (one["precisions"]["int8"] for one in listed if one["model"] == model_in_store)
    assert 0.99 < found["worst"] < found["mean"] < 1
    assert f"int8 {found['worst']:.4f} (nDCG" in invoke("list").stdout


def test_pull_says_what_came_and_from_where(run: Run, store: Store) -> None:
    result = run("pull", "org/a", "org/b")

    assert result.exit_code == 0
    assert [item.model for item in store.models()] == ["org/a", "org/b"]
    assert "org/a: revision 0123456789abcdef, from the hub, 1.5 MB in" in result.stderr


def test_pull_does_not_repeat_itself(
    run: Run, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrive("org/a", store)
    monkeypatch.setattr("embedway_local.pull", None)

    result = run("pull", "org/a")

    assert result.exit_code == 0
    assert "org/a is here already" in result.stderr
    assert "--force" in result.stderr


def test_force_brings_it_again(run: Run, store: Store) -> None:
    arrive("org/a", store)
    (store.folder("org/a") / "notes.txt").touch()

    assert run("pull", "--force", "org/a").exit_code == 0
    assert not (store.folder("org/a") / "notes.txt").exists()
    assert [item.model for item in store.models()] == ["org/a"]


@pytest.mark.parametrize("name", ["model.safetensors", "embedway.json"])
def test_a_damaged_model_is_replaced_unasked(run: Run, store: Store, name: str) -> None:
    arrive("org/a", store)
    (store.folder("org/a") / name).write_bytes(b"damaged")

    assert run("pull", "org/a").exit_code == 0
    assert store.verify("org/a") == []


def test_a_failed_replacement_leaves_the_old_one(
    run: Run, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(model: str, store: Store) -> None:
        raise ModelNotFound("offline")

    arrive("org/a", store)
    monkeypatch.setattr("embedway_local.pull", fail)

    result = run("pull", "--force", "org/a")

    assert (result.exit_code, result.stderr) == (1, "Pulling org/a\noffline\n")
    assert store.verify("org/a") == []


def test_verify_digests_again(run: Run, store: Store) -> None:
    arrive("org/a", store)
    arrive("org/b", store)
    assert run("verify").exit_code == 0
    (store.folder("org/b") / "model.safetensors").write_bytes(b"damaged")

    result = run("verify")

    assert result.exit_code == 1
    assert "org/a: 2 files, all as they should be" in result.stderr
    assert "org/b is damaged:\n  model.safetensors has SHA-256" in result.stderr
    assert "embedway models pull org/b" in result.stderr
    assert run("verify", "org/a").exit_code == 0


def test_verify_refuses_what_is_not_there(run: Run) -> None:
    result = run("verify", "org/a")

    assert result.exit_code == 1
    assert "org/a is not in" in result.stderr
    assert "embedway models pull org/a" in result.stderr


def test_the_default_model_is_stated_once_more_and_the_same() -> None:
    assert DEFAULT_MODEL == LOCAL_DEFAULT_MODEL


def test_the_known_models_are_listed_with_what_they_need(run: Run) -> None:
    lines = run("list", "--known").stdout.splitlines()

    (line,) = (line for line in lines if line.split()[0] == "intfloat/e5-base-v2")
    assert line.split()[:4] == ["intfloat/e5-base-v2", "768", "512", "mean"]
    assert "'query: '" in line


def test_the_known_models_for_programs_come_with_their_sources(run: Run) -> None:
    models = {model["name"]: model for model in json.loads(run("list", "--known", "--json").stdout)}

    model = models["nomic-ai/nomic-embed-text-v1.5"]
    assert model["prompts"] == {"query": "search_query: ", "document": "search_document: "}
    assert model["sources"][0] == "https://huggingface.co/nomic-ai/nomic-embed-text-v1.5"
    assert "pooling" not in models["BAAI/bge-reranker-base"]
