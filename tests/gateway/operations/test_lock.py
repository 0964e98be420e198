"""What the image installs is pinned by hash, and is what pyproject.toml asks for."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from doubles.operations_environment import OPERATIONS

ROOT = OPERATIONS.parents[1]
LOCKS = OPERATIONS / "requirements"
# As `make lock` has them.
EXTRAS = {
    "server": ("gateway", "local", "oci", "oidc", "otel", "parquet", "redis"),
    "gpu": ("gateway", "gpu", "oci", "oidc", "otel", "parquet", "redis"),
}


@dataclass
class Pin:
    requirement: Requirement
    hashes: list[str]

    @property
    def version(self) -> Version:
        (one,) = self.requirement.specifier
        assert one.operator == "=="
        return Version(one.version)


def pins(name: str) -> dict[str, list[Pin]]:
    """By name: more than one where the versions of Python or systems differ."""
    text = (LOCKS / f"{name}.lock").read_text().replace("\\\n", " ")
    found: dict[str, list[Pin]] = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        words, *hashes = line.split("--hash=")
        requirement = Requirement(words.strip())
        pin = Pin(requirement, [one.strip() for one in hashes])
        found.setdefault(canonicalize_name(requirement.name), []).append(pin)
    return found


@pytest.mark.parametrize("name", ["server", "gpu", "build", "tools"])
def test_every_line_is_one_version_with_its_hashes(name: str) -> None:
    for ones in pins(name).values():
        for pin in ones:
            assert pin.version
            assert pin.requirement.url is None
            assert pin.hashes
            assert all(re.fullmatch("sha256:[0-9a-f]{64}", one) for one in pin.hashes)


@pytest.mark.parametrize("name", ["server", "gpu", "build", "tools"])
def test_no_lock_says_where_packages_come_from(name: str) -> None:
    text = (LOCKS / f"{name}.lock").read_text()
    assert "://" not in text
    assert "--index" not in text


@pytest.mark.parametrize("name", EXTRAS)
def test_what_pyproject_asks_for_is_locked(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = list(project["dependencies"])
    for extra in EXTRAS[name]:
        asked += project["optional-dependencies"][extra]
    locked = pins(name)
    wrong = []
    for line in asked:
        requirement = Requirement(line)
        found = locked.get(canonicalize_name(requirement.name), [])
        if not found or not all(requirement.specifier.contains(pin.version) for pin in found):
            wrong.append(line)
    assert wrong == [], "make lock brings them in"


def test_what_those_need_in_turn_is_locked_too() -> None:
    """As far as what is installed here says."""
    locked = pins("server")
    missing = {
        f"{name} needs {requirement}"
        for name in locked
        for requirement in _needs(name)
        if canonicalize_name(requirement.name) not in locked
    }
    assert missing == set()


def _needs(name: str) -> list[Requirement]:
    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []
    found = [Requirement(line) for line in lines]
    return [one for one in found if one.marker is None or one.marker.evaluate({"extra": ""})]


@pytest.mark.parametrize("name", EXTRAS)
def test_it_is_what_the_tests_run_with(name: str) -> None:
    constraints = _constraints(ROOT / "constraints.txt")
    wrong = {
        key: (pin.version, constraints[key])
        for key, ones in pins(name).items()
        for pin in ones
        if key in constraints and pin.version not in constraints[key]
    }
    assert wrong == {}


def _constraints(path: Path) -> dict[str, list[Version]]:
    found: dict[str, list[Version]] = {}
    for line in path.read_text().splitlines():
        text = line.partition("#")[0].strip()
        if not text:
            continue
        requirement = Requirement(text)
        for one in requirement.specifier:
            if one.operator == "==":
                found.setdefault(canonicalize_name(requirement.name), []).append(
                    Version(one.version)
                )
    return found


@pytest.mark.parametrize("name", EXTRAS)
def test_the_versions_with_known_holes_are_not_in_it(name: str) -> None:
    locked = pins(name)
    # CVE-2026-48710.
    assert all(pin.version >= Version("1.0.1") for pin in locked["starlette"])
    # Two of its versions were published by an intruder; who wants it installs it.
    assert "litellm" not in locked


def test_the_bill_of_materials_lists_all_of_it(tools: Path) -> None:
    """As `make sbom` writes it; the program holds it against CycloneDX's schema itself."""
    command = [str(tools), "-W", "ignore", "-m", "cyclonedx_py", "requirements"]
    command += ["--of", "JSON", "--validate", str(LOCKS / "server.lock")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["components"]
    assert {canonicalize_name(one["name"]) for one in found} == set(pins("server"))
    assert all(one["version"] and one["purl"] for one in found)


def test_one_image_has_one_onnxruntime() -> None:
    """Two of them overwrite each other's files."""
    for name, expected in (("server", "onnxruntime"), ("gpu", "onnxruntime-gpu")):
        assert [key for key in pins(name) if key.startswith("onnxruntime")] == [expected]
