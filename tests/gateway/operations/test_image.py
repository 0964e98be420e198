"""The image's Dockerfile: looked over, built into a folder, and run as a container would."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from doubles.image import Container, Image, build, ignored, instructions
from doubles.openai_upstream import OpenAIUpstream
from doubles.operations_environment import OPERATIONS
from doubles.serving import free_port, served

DOCKERFILE = OPERATIONS / "Dockerfile"


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    # Not below /tmp, which a container has of its own, nor in a folder of root's.
    root = Path(tempfile.mkdtemp(prefix="embedway-image-", dir="/var/tmp"))
    root.chmod(0o755)
    try:
        yield build(DOCKERFILE, root)
    finally:
        shutil.rmtree(root)


def test_hadolint_finds_nothing(tools: Path) -> None:
    done = subprocess.run(
        [str(tools.with_name("hadolint")), str(DOCKERFILE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_every_variant_installs_what_a_lock_pins_and_nothing_else() -> None:
    found = instructions(DOCKERFILE.read_text())
    installs = [
        command
        for keyword, rest in found
        if keyword == "RUN"
        for command in rest.split("&&")
        if "pip install" in command
    ]
    assert len(installs) == 3
    for command in installs:
        assert "--require-hashes" in command or "--no-index" in command
    for variant in ("server", "gpu", "build"):
        assert (OPERATIONS / "requirements" / f"{variant}.lock").is_file()
    bases = [rest for keyword, rest in found if keyword == "FROM"]
    assert all("python:${PYTHON}" in base for base in bases)
    (version,) = [rest for keyword, rest in found if rest.startswith("PYTHON=")]
    assert version.endswith("-slim-bookworm")


def test_what_is_no_part_of_the_image_is_not_sent_to_its_build() -> None:
    lines = (OPERATIONS / "Dockerfile.dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    for inside in (
        *("pyproject.toml", "gateway/embedway_gateway/serve.py", "integrations/a/b.py"),
        "gateway/operations/requirements/server.lock",
    ):
        assert not ignored(inside, patterns)
    for outside in (
        *(".git/config", ".venv/bin/python", "tests/conftest.py", ".env", "keys.yaml"),
        *("gateway/operations/compose/secrets/metrics.key", "gateway/a/__pycache__/b.pyc"),
    ):
        assert ignored(outside, patterns)


def test_the_user_is_a_number_and_not_root(image: Image) -> None:
    user, _, group = image.settings["USER"].partition(":")
    assert int(user) > 0
    assert int(group) > 0


def test_the_image_has_the_package_and_no_pip(image: Image) -> None:
    programs = {path.name for path in (image.root / "opt/embedway/bin").iterdir()}
    assert "embedway" in programs
    assert not any(name.startswith("pip") for name in programs)


def test_it_serves_without_privileges_and_drains_when_it_is_stopped(image: Image) -> None:
    container = Container(image)
    state = image.root / "var/lib/embedway"
    keys = state / "keys.yaml"
    create = ["keys", "create", "--name", "app", "--file", str(keys)]
    made = container.run(*image.argv("ENTRYPOINT"), *create)
    assert made.returncode == 0, made.stderr
    upstream = OpenAIUpstream()
    port = free_port()
    with served(upstream) as url:
        _configure(image, keys, url)
        words = [word.replace("8080", str(port)) for word in image.argv("ENTRYPOINT", "CMD")]
        check = [word.replace("8080", str(port)) for word in image.argv("HEALTHCHECK")]
        with container.running(*words, "--workers", "2") as running:
            _until(lambda: container.run(*check).returncode == 0, running.log)
            headers = {"authorization": f"Bearer {made.stdout.strip()}"}
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
                _until(lambda: client.get("/readyz").status_code == 200, running.log)
                answers = []
                upstream.delay = 1.0
                body = {"model": "m", "input": "a text"}
                thread = threading.Thread(
                    target=lambda: answers.append(client.post("/v1/embeddings", json=body))
                )
                already = len(upstream.seen)
                thread.start()
                _until(lambda: len(upstream.seen) > already, running.log)
                running.stop(signal.Signals[image.settings["STOPSIGNAL"]])
                thread.join(30)
            assert running.process.wait(30) == 0, running.log.read_text()
            assert [answer.status_code for answer in answers] == [200]
        assert container.run(*check).returncode != 0
    written = {path.name for path in state.iterdir()}
    assert written <= {"keys.yaml", "keys.yaml.lock", "usage.sqlite", "models"}
    if container.isolated:
        spot = image.root / "opt/embedway/new"
        assert container.run("python", "-c", f"open({str(spot)!r}, 'w')").returncode != 0


def _configure(image: Image, keys: Path, url: str) -> None:
    upstream = {"name": "up", "engine": "openai", "url": url}
    facts = {
        "server": {"keys": str(keys)},
        "models": [{"name": "m", "dimensions": 8, "upstreams": [upstream]}],
    }
    # JSON is YAML.
    (image.root / "etc/embedway/embedway.yaml").write_text(json.dumps(facts))


def _until(holds: object, log: Path, seconds: float = 60.0) -> None:
    assert callable(holds)
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)
