"""MTEB and sentence-transformers, for one process of these tests: installed at first use, kept."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

REQUIREMENTS = Path(__file__).with_name("mteb-requirements.txt")


def mteb_packages() -> Path:
    """
    A folder to add behind what is installed here (`site.addsitedir`); it has what is missing.

    Under the user's cache folder, 1.2 GB, most of it PyTorch; another list of requirements is
    another one. One that was interrupted is made again: `ready` is written last.
    """
    version = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    cache = user_cache_path("embedway-tests", ensure_exists=True)
    place = cache / f"mteb-{sys.implementation.cache_tag}-{version}"
    ready = place / "ready"
    with FileLock(f"{place}.lock"):
        if not ready.is_file():
            shutil.rmtree(place, ignore_errors=True)
            _make(place)
            ready.touch()
    return place


def _make(place: Path) -> None:
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(place)]
    install += ["--disable-pip-version-check", "--only-binary=:all:", "--no-compile"]
    # What PyTorch needs differs from build to build: CUDA's needs packages that are not listed.
    torch = next(line for line in REQUIREMENTS.read_text("utf-8").split() if line[:7] == "torch==")
    _run(*install, "--constraint", str(REQUIREMENTS), torch)
    rest = place / "rest.txt"
    others = [line for line in REQUIREMENTS.read_text("utf-8").splitlines() if line != torch]
    rest.write_text("\n".join(others), "utf-8")
    _run(*install, "--no-deps", "--requirement", str(rest))


def _run(*command: str) -> None:
    unwanted = {"PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_USER"}
    environment = {key: value for key, value in os.environ.items() if key not in unwanted}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise AssertionError(
            "MTEB, which these tests run, could not be installed. It comes from PyPI the first "
            f"time. {' '.join(command)} said:\n{said}"
        )
