"""A Python with what a conda environment for ONNX has: made at first use, kept for later runs."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

VERSIONS = Path(__file__).with_name("conda-requirements.txt")


def conda_python() -> Path:
    """
    The interpreter, under the user's cache folder; another list of versions is another one.

    One that was interrupted is made again: `ready` is written last.
    """
    version = hashlib.sha256(VERSIONS.read_bytes()).hexdigest()[:12]
    cache = user_cache_path("embedway-tests", ensure_exists=True)
    place = cache / f"conda-{sys.implementation.cache_tag}-{version}"
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ready = place / "ready"
    with FileLock(f"{place}.lock"):
        # A link to a Python that was removed since is no file either.
        if not (ready.is_file() and python.is_file()):
            shutil.rmtree(place, ignore_errors=True)
            _run(sys.executable, "-m", "venv", "--without-pip", str(place))
            install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
            install += ["--disable-pip-version-check", "--only-binary=:all:", "--no-compile"]
            # `tokenizers` names the hub's client, which only its downloads need.
            _run(*install, "--no-deps", "-r", str(VERSIONS))
            _run(*install, "flatbuffers", "packaging", "protobuf")
            ready.touch()
    return python


def _run(*command: str) -> None:
    unwanted = {"PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_USER"}
    environment = {key: value for key, value in os.environ.items() if key not in unwanted}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, f"{' '.join(command)} said:\n{done.stderr[-2000:]}"
