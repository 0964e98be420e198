"""A Python that has the classes which people move from: made at first use, kept for later runs."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

VERSIONS = Path(__file__).with_name("neighbours-requirements.txt")


def neighbours_python() -> Path:
    """
    The interpreter, under the user's cache folder; another list of versions is another one.

    It sees the packages of this environment behind its own, but none of ours: what is installed
    as editable is found by a file that only a folder of its own would have read. 240 MB, half a
    minute. One that was interrupted is made again: `ready` is written last.
    """
    ours = sysconfig.get_path("purelib")
    version = hashlib.sha256(VERSIONS.read_bytes() + ours.encode()).hexdigest()[:12]
    cache = user_cache_path("embedway-tests", ensure_exists=True)
    place = cache / f"neighbours-{sys.implementation.cache_tag}-{version}"
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ready = place / "ready"
    with FileLock(f"{place}.lock"):
        # A link to a Python that was removed since is no file either.
        if not (ready.is_file() and python.is_file()):
            shutil.rmtree(place, ignore_errors=True)
            _run(sys.executable, "-m", "venv", "--without-pip", str(place))
            # The list is complete together with this environment, whose versions it is run with.
            install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
            install += ["--disable-pip-version-check", "--only-binary=:all:", "--no-compile"]
            _run(*install, "--no-deps", "--requirement", str(VERSIONS))
            (neighbours_packages(python) / "tests.pth").write_text(f"{ours}\n", "utf-8")
            ready.touch()
    return python


def neighbours_packages(python: Path) -> Path:
    """Where its own packages are."""
    places = {"base": str(python.parents[1]), "platbase": str(python.parents[1])}
    return Path(sysconfig.get_path("purelib", "venv", vars=places))


def _run(*command: str) -> None:
    unwanted = {"PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_USER"}
    environment = {key: value for key, value in os.environ.items() if key not in unwanted}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise AssertionError(
            "The classes that people move from, which these tests run, could not be installed. "
            f"They come from PyPI the first time. {' '.join(command)} said:\n{said}"
        )
