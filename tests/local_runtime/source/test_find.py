import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from embedway_local import DEFAULT_MODEL, LocalEmbedder, ModelCorrupt, ModelNotFound, Store, pull
from embedway_local.source.find import find


@pytest.mark.parametrize(
    "name",
    ["a/b/c", "..", "a..b", "a--b", "-a", "a/", "a b", "a" * 97, "ä/b", "a/../b", "\0", "\n"],
)
def test_a_name_that_could_be_a_path_is_refused(home: Path, name: str) -> None:
    with pytest.raises(ModelNotFound, match="neither a folder here nor a name on the hub"):
        pull(name, Store(home))

    assert not home.exists()


def test_a_folder_comes_before_the_store(
    tiny: Callable, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny("org/tiny").folder
    shutil.copytree(folder, Store(home).folder("org/tiny"))
    (Store(home).folder("org/tiny") / "embedway.json").touch()
    monkeypatch.chdir(tmp_path)

    assert Path("org/tiny") == find("org/tiny", Store(home)).folder
    monkeypatch.chdir("/")
    assert Store(home).folder("org/tiny") == find("org/tiny", Store(home)).folder


def test_a_damaged_known_model_is_not_used_and_the_cure_is_named(
    model_folder: Path, home: Path
) -> None:
    """Not only when it comes: whenever it is opened."""
    folder = Store(home).folder(DEFAULT_MODEL)
    shutil.copytree(model_folder, folder)
    LocalEmbedder(DEFAULT_MODEL, home=home)
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[50_000_000] ^= 1
    (folder / "model.safetensors").write_bytes(weights)

    with pytest.raises(ModelCorrupt, match=f"`embedway models pull {DEFAULT_MODEL}` replaces"):
        LocalEmbedder(DEFAULT_MODEL, home=home)


def test_an_alias_stands_for_the_models_name(model_folder: Path, home: Path) -> None:
    shutil.copytree(model_folder, Store(home).folder(DEFAULT_MODEL))
    full = LocalEmbedder(DEFAULT_MODEL, home=home)
    short = LocalEmbedder("minilm", home=home)

    assert full.space == short.space
