"""Runs what users would run, as they would: in a process of its own, in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command with `embedway` and `python` on its path; variables are added."""

    def run_(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "HAYSTACK_TELEMETRY_ENABLED": "False", **variables}
        scripts = str(Path(sys.executable).parent)
        environment["PATH"] = os.pathsep.join([scripts, os.environ["PATH"]])
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run_
