import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from embedway_local import LocalEmbedder, LocalError, ModelCorrupt
from embedway_local.checkpoint import read_checkpoint
from embedway_local.graph import build as build_module
from embedway_local.graph import cache
from embedway_local.graph.cache import built


def graphs(home: Path) -> set[str]:
    return {path.parent.name for path in (home / "graphs").glob("*/model.onnx")}


def times(home: Path) -> list[int]:
    return [path.stat().st_mtime_ns for path in (home / "graphs").glob("*/model.onnx")]


def test_a_graph_is_built_once(tiny: Callable, home: Path) -> None:
    folder = tiny().folder
    LocalEmbedder(folder, home=home)
    before = times(home)

    LocalEmbedder(folder, home=home)

    assert before == times(home)
    assert len(before) == 1


def test_a_new_builder_builds_again(
    tiny: Callable, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = read_checkpoint(tiny().folder)
    first = built(checkpoint, home)
    monkeypatch.setattr(cache, "VERSION", cache.VERSION + 1)

    second = built(checkpoint, home)

    assert first != second
    assert second.is_file()


def test_what_changes_the_vectors_changes_the_graph(tiny: Callable, home: Path) -> None:
    model = tiny()
    LocalEmbedder(model.folder, home=home)
    LocalEmbedder(model.folder, home=home, pooling="cls")
    config = {**model.config, "layer_norm_eps": 0.1}
    (model.folder / "config.json").write_text(json.dumps(config))
    LocalEmbedder(model.folder, home=home)
    weights = bytearray((model.folder / "model.safetensors").read_bytes())
    weights[-2] ^= 1
    (model.folder / "model.safetensors").write_bytes(weights)
    LocalEmbedder(model.folder, home=home)

    assert len(graphs(home)) == 4


def test_the_same_weights_under_two_names_share_a_graph_and_a_space(
    tiny: Callable, home: Path
) -> None:
    one, two = (LocalEmbedder(tiny(name).folder, home=home) for name in ("one", "two"))

    assert one.space == two.space
    assert one.space.fingerprint == two.space.fingerprint
    assert len(graphs(home)) == 1


def test_a_graph_that_is_there_needs_no_builder(tiny: Callable, home: Path) -> None:
    """`onnx` would cost each start 0.2 s and 40 MB."""
    folder = tiny().folder
    LocalEmbedder(folder, home=home)
    script = (
        "import sys; from pathlib import Path; from embedway_local import LocalEmbedder; "
        "LocalEmbedder(Path(sys.argv[1]), home=Path(sys.argv[2])).embed(['a']); "
        "print('onnx' in sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, str(folder), str(home)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout.strip() == "False"


def test_a_failed_build_leaves_nothing(tiny: Callable, home: Path) -> None:
    model = tiny()
    (model.folder / "model.safetensors").write_bytes(b"damaged")

    with pytest.raises(ModelCorrupt):
        LocalEmbedder(model.folder, home=home)

    assert not [path for path in (home / "graphs").iterdir() if path.is_dir()]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_folder_that_changes_while_it_is_built_spoils_nothing(
    tiny: Callable, home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What was made of the new files must not be kept under the digests of the old ones."""
    one, two = tiny("one"), tiny("two", layer_norm_eps=0.25)
    expected = LocalEmbedder(one.folder, home=home / "other").embed(["a b c"])
    old = (one.folder / name).read_bytes()
    real = build_module.build

    def overtaken(*given: object) -> object:
        (two.folder / name).replace(one.folder / name)
        return real(*given)

    monkeypatch.setattr(build_module, "build", overtaken)
    with pytest.raises(ModelCorrupt, match=r"one: changed while it was read; open it again"):
        LocalEmbedder(one.folder, home=home)
    assert graphs(home) == set()
    monkeypatch.undo()
    (one.folder / name).write_bytes(old)

    np.testing.assert_array_equal(expected, LocalEmbedder(one.folder, home=home).embed(["a b c"]))


def test_a_config_that_changed_before_its_digest_was_taken_is_noticed(
    tiny: Callable, home: Path
) -> None:
    """What was read of it is what the graph is made of."""
    model = tiny()
    checkpoint = read_checkpoint(model.folder)
    (model.folder / "config.json").write_text(json.dumps({**model.config, "layer_norm_eps": 0.1}))

    with pytest.raises(ModelCorrupt, match="changed while it was read"):
        built(checkpoint, home)
    assert graphs(home) == set()


def test_what_a_killed_build_left_is_cleared_away(tiny: Callable, home: Path) -> None:
    checkpoint = read_checkpoint(tiny().folder)
    target = built(checkpoint, home).parent
    leftover = target.with_name(f".incoming-{target.name}-killed_1")
    leftover.mkdir()
    (target / "model.onnx").unlink()

    built(checkpoint, home)

    assert (target / "model.onnx").is_file()
    assert not leftover.exists()


def test_many_threads_build_once(
    tiny: Callable, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny().folder
    count = []
    real = build_module.build

    def counted(*given: object) -> object:
        count.append(1)
        return real(*given)

    monkeypatch.setattr(build_module, "build", counted)

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: LocalEmbedder(folder, home=home).embed(["a b"]), range(8)))

    assert sum(count) == 1
    assert all(np.array_equal(made[0], other) for other in made)


def test_a_damaged_graph_names_the_cure(tiny: Callable, home: Path) -> None:
    folder = tiny().folder
    path = built(read_checkpoint(folder), home)
    path.write_bytes(b"damaged")

    with pytest.raises(ModelCorrupt, match="delete its folder"):
        LocalEmbedder(folder, home=home)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_is_only_readable_serves(tiny: Callable, home: Path) -> None:
    folder = tiny().folder
    LocalEmbedder(folder, home=home)
    for path in [home, *home.rglob("*")]:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))

    assert LocalEmbedder(folder, home=home).embed(["a"]).shape == (1, 24)


def test_a_store_that_cannot_be_made_names_the_cure(tiny: Callable, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")

    with pytest.raises(LocalError, match="EMBEDWAY_HOME"):
        LocalEmbedder(tiny().folder, home=tmp_path / "file")
