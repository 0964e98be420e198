"""Packages that ours must not have, in Pythons or folders apart: made at first use, and kept."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

__all__ = ["apart", "constrained", "install", "kept", "python_in", "requirements", "run"]


def requirements(name: str) -> Path:
    """The list of versions of that name."""
    return Path(__file__).with_name(f"{name}-requirements.txt")


def kept(name: str, decides: bytes, make: Callable[[Path], None]) -> Path:
    """
    The folder under the user's cache that `make` has filled; where `decides` is another, so is it.

    One that was interrupted is made again: `ready` is written last.
    """
    version = hashlib.sha256(decides).hexdigest()[:12]
    cache = user_cache_path("embedway-tests", ensure_exists=True)
    place = cache / f"{name}-{sys.implementation.cache_tag}-{version}"
    with FileLock(f"{place}.lock"):
        if not _is_whole(place):
            shutil.rmtree(place, ignore_errors=True)
            make(place)
            (place / "ready").touch()
    return place


def apart(name: str, make: Callable[[Path], None], *, decides: bytes | None = None) -> Path:
    """The interpreter of a Python in which `make`, given it, has installed; by its versions."""

    def whole(place: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
        make(python_in(place))

    return python_in(kept(name, decides or requirements(name).read_bytes(), whole))


def python_in(place: Path) -> Path:
    """The interpreter of a Python in that folder."""
    return place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def install(python: Path | None, *arguments: str | Path) -> None:
    """By pip into that Python; None is for a `--target`."""
    command = [sys.executable, "-m", "pip"]
    command += [] if python is None else ["--python", str(python)]
    command += ["install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    # What is used is compiled when it is.
    command += ["--no-compile"]
    run([*command, *map(str, arguments)], "PyPI")


def run(command: Iterable[str], source: str) -> None:
    """A command that fetches from `source`; raises `AssertionError` with its last words."""
    unwanted = {"PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "NODE_OPTIONS"}
    environment = {key: value for key, value in os.environ.items() if key not in unwanted}
    command = list(command)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise AssertionError(
            f"what these tests run could not be installed. It comes from {source} the first time. "
            f"{' '.join(command)} said:\n{said}"
        )


def constrained(name: str, *packages: str) -> Path:
    """The interpreter of a Python with packages in the versions listed by that name."""
    some = ("--constraint", requirements(name), *packages)
    return apart(name, lambda python: install(python, *some))


def _is_whole(place: Path) -> bool:
    # A link to a Python that was removed since is no file either.
    is_python = (place / "pyvenv.cfg").is_file()
    return (place / "ready").is_file() and (not is_python or python_in(place).is_file())
