"""A folder that has Ray, for PYTHONPATH: made at first use, and kept for all later runs."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

REQUIREMENTS = Path(__file__).with_name("ray-requirements.txt")


def ray_path() -> Path:
    """
    The folder, under the user's cache folder; another list of requirements is another one.

    It is beside this environment, not in it, because it is 250 MB that nothing else needs; all
    other packages are this environment's. One that was interrupted is made again.
    """
    version = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    cache = user_cache_path("embedway-tests", ensure_exists=True)
    place = cache / f"ray-{sys.implementation.cache_tag}-{version}"
    with FileLock(f"{place}.lock"):
        if not place.is_dir():
            begun = place.with_suffix(".begun")
            shutil.rmtree(begun, ignore_errors=True)
            _install(begun)
            begun.rename(place)
    return place


def _install(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--only-binary=:all:", "--no-compile", "--no-deps", "--target", str(folder)]
    command += ["--requirement", str(REQUIREMENTS)]
    unwanted = {"PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_USER"}
    environment = {key: value for key, value in os.environ.items() if key not in unwanted}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        raise AssertionError(
            "Ray, which these tests run, could not be installed. It comes from PyPI the first "
            f"time. {' '.join(command)} said:\n{done.stderr[-2000:]}"
        )
