import json
import shutil
from pathlib import Path

import pytest

from embedway_local import DEFAULT_MODEL, Manifest, ModelCorrupt, ModelNotFound, Store, pull
from embedway_local.catalogue import known_models


def fill(store: Store, model: str = "org/model", files: dict[str, str] | None = None) -> None:
    with store.alone(model), store.receive(model, source="test") as arrival:
        arrival.revision = "abc123"
        for name, text in (files or {"config.json": "{}", "onnx/model.onnx": "x"}).items():
            (arrival.folder / name).parent.mkdir(exist_ok=True)
            (arrival.folder / name).write_text(text)


def left(home: Path) -> list[str]:
    """Whatever is in the store, except locks."""
    return sorted(
        str(path.relative_to(home))
        for path in home.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    )


def test_a_received_model_has_a_manifest(home: Path) -> None:
    store = Store(home)
    fill(store)

    assert store.has("org/model")
    assert Manifest(
        model="org/model",
        revision="abc123",
        source="test",
        files={
            "config.json": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            "onnx/model.onnx": ("2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"),
        },
    ) == store.manifest("org/model")
    assert [] == store.verify("org/model")


def test_models_are_listed_by_name(home: Path) -> None:
    store = Store(home)
    assert [] == store.models()
    for name in ("b/z", "a", "b/a"):
        fill(store, name)

    assert ["a", "b/a", "b/z"] == [manifest.model for manifest in store.models()]


def test_a_flipped_byte_and_a_missing_file_are_found(home: Path) -> None:
    store = Store(home)
    fill(store)
    (store.folder("org/model") / "config.json").write_text("[]")
    (store.folder("org/model") / "onnx" / "model.onnx").unlink()

    problems = store.verify("org/model")

    assert 2 == len(problems)
    assert problems[0].startswith("config.json has SHA-256 4f53cda1")
    assert "onnx/model.onnx is missing" == problems[1]


def test_a_known_model_is_verified_against_the_pins_not_the_manifest(
    model_folder: Path, home: Path
) -> None:
    store = Store(home)
    folder = store.folder(DEFAULT_MODEL)
    shutil.copytree(model_folder, folder)
    config = folder / "config.json"
    config.write_text(config.read_text().replace("12", "6"))
    manifest = json.loads((folder / "embedway.json").read_text())
    manifest["files"] = {}
    (folder / "embedway.json").write_text(json.dumps(manifest))

    problems = store.verify(DEFAULT_MODEL)

    assert 1 == len(problems)
    pin = known_models()[DEFAULT_MODEL].pin
    assert pin is not None
    assert pin.files["config.json"] in problems[0]


@pytest.mark.parametrize("files", [{"config.json": "{}"}, {"README.md": "no model"}])
def test_a_known_model_with_another_file_is_refused_and_nothing_is_left(
    home: Path, files: dict[str, str]
) -> None:
    store = Store(home)

    with pytest.raises(ModelCorrupt, match=r"from test: .*nothing was kept"):
        fill(store, DEFAULT_MODEL, files)

    assert [] == left(home)
    assert not store.has(DEFAULT_MODEL)


def test_a_running_download_is_left_alone_by_a_model_whose_name_its_own_begins_with(
    home: Path,
) -> None:
    store = Store(home)
    longer = "org/model-instruct"
    with store.alone(longer), store.receive(longer, source="test") as arrival:
        (arrival.folder / "config.json").write_text("{}")
        fill(store, "org/model")
        assert (arrival.folder / "config.json").is_file()

    assert [] == store.verify(longer)
    assert ["config.json"] == list(store.manifest(longer).files)


def test_what_arrives_without_its_config_is_refused_and_nothing_is_left(home: Path) -> None:
    store = Store(home)

    with pytest.raises(ModelCorrupt, match=r"org/model from test: config\.json is missing"):
        fill(store, files={"model.safetensors": "x"})

    assert [] == left(home)


def test_a_model_that_was_stored_without_its_config_is_found(home: Path) -> None:
    """So that `embedway models pull` replaces it."""
    store = Store(home)
    fill(store)
    folder = store.folder("org/model")
    manifest = json.loads((folder / "embedway.json").read_text())
    del manifest["files"]["config.json"]
    (folder / "embedway.json").write_text(json.dumps(manifest))
    (folder / "config.json").unlink()

    assert ["config.json is missing"] == store.verify("org/model")


def test_an_interrupted_pull_leaves_nothing(home: Path) -> None:
    store = Store(home)

    def interrupted() -> None:
        with store.alone("m"), store.receive("m", source="test") as arrival:
            (arrival.folder / "model.safetensors").write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert [] == left(home)
    assert not store.has("m")


def test_a_model_that_is_not_here_names_the_cure(home: Path) -> None:
    store = Store(home)
    for ask in (store.manifest, store.verify):
        with pytest.raises(ModelNotFound, match="embedway models pull org/none"):
            ask("org/none")


def test_a_removed_model_is_gone(home: Path) -> None:
    store = Store(home)
    fill(store)
    store.partial("org/model").mkdir(parents=True)
    (store.partial("org/model") / "half").touch()

    store.remove("org/model")

    assert [] == left(home)
    assert [] == store.models()


def test_pulling_what_is_here_and_whole_asks_nobody(model_folder: Path, home: Path) -> None:
    store = Store(home)
    shutil.copytree(model_folder, store.folder(DEFAULT_MODEL))
    before = (store.folder(DEFAULT_MODEL) / "embedway.json").stat().st_mtime_ns

    pull(DEFAULT_MODEL, store)

    assert before == (store.folder(DEFAULT_MODEL) / "embedway.json").stat().st_mtime_ns


def test_a_damaged_manifest_is_named(home: Path) -> None:
    store = Store(home)
    fill(store)
    (store.folder("org/model") / "embedway.json").write_text("{")

    with pytest.raises(ModelCorrupt, match=r"embedway\.json"):
        store.models()
