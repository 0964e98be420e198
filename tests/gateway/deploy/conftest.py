"""A region to deploy to, and the models that are deployed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.oci_deployed import Plans, World, deploying, plan_of
from doubles.tiny_bert import write_tiny_bert
from embedway_deploy import Run
from embedway_local import LocalEmbedder, embedway_home


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command makes is looked at again at once: the cloud is on loopback."""
    defaults = Run.__init__.__kwdefaults__
    assert defaults["poll"] == 10.0
    monkeypatch.setitem(defaults, "poll", 0.05)


@pytest.fixture(scope="session")
def embedder(model_in_store: str) -> Iterator[LocalEmbedder]:
    with LocalEmbedder(model_in_store) as opened:
        yield opened


@pytest.fixture
def real(
    tmp_path: Path,
    model_in_store: str,
    embedder: LocalEmbedder,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    """With the default model; score.py has a Python of its own. Plans are the test's alone."""
    home = tmp_path / "home"
    home.mkdir()
    for path in embedway_home().iterdir():
        if path.name != "deploy":
            (home / path.name).symlink_to(path)
    monkeypatch.setenv("EMBEDWAY_HOME", str(home))
    with deploying(tmp_path, model_in_store, embedder) as made:
        yield made


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """With a small model, which is quick."""
    monkeypatch.setenv("EMBEDWAY_HOME", str(tmp_path / "home"))
    model = str(write_tiny_bert(tmp_path / "tiny"))
    with (
        LocalEmbedder(model) as embedder,
        deploying(tmp_path, model, embedder, isolated=False) as made,
    ):
        yield made


@pytest.fixture(params=["onnx", "tei"])
def plans(request: pytest.FixtureRequest) -> Plans:
    """Makes the plan of one engine in a world."""
    return plan_of(request.param)
