"""A Python that has infinity: made at first use, and kept for all later runs."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

REQUIREMENTS = Path(__file__).with_name("infinity-requirements.txt")


def infinity_python() -> Path:
    """
    The interpreter, under the user's cache folder; another list of requirements is another one.

    Making it takes about a minute, PyPI, and 1.4 GB of disk, most of it PyTorch. One that was
    interrupted is made again: `ready` is written last.
    """
    version = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    cache = user_cache_path("embedway-tests", ensure_exists=True)
    place = cache / f"infinity-0.0.77-{sys.implementation.cache_tag}-{version}"
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ready = place / "ready"
    with FileLock(f"{place}.lock"):
        # A link to a Python that was removed since is no file either.
        if not (ready.is_file() and python.is_file()):
            shutil.rmtree(place, ignore_errors=True)
            _make(place, python)
            ready.touch()
    return python


def _make(place: Path, python: Path) -> None:
    _run(sys.executable, "-m", "venv", "--without-pip", str(place))
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    install += ["--disable-pip-version-check", "--only-binary=:all:"]
    # What PyTorch needs differs from build to build: CUDA's needs packages that are not listed.
    torch = next(line for line in REQUIREMENTS.read_text("utf-8").split() if line[:7] == "torch==")
    _run(*install, "--constraint", str(REQUIREMENTS), torch)
    # The list is complete; for Python 3.13 it has a numpy that infinity does not admit to.
    _run(*install, "--no-deps", "--requirement", str(REQUIREMENTS))


def _run(*command: str) -> None:
    unwanted = {"PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_USER"}
    environment = {key: value for key, value in os.environ.items() if key not in unwanted}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise AssertionError(
            "infinity, which these tests compare with, could not be installed. It comes from PyPI "
            f"the first time. {' '.join(command)} said:\n{said}"
        )
