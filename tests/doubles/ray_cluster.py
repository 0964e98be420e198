"""A real Ray on this machine in a process of its own, and drivers that use it."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from doubles.ray_environment import ray_path
from embedway_local import embedway_home

# It starts what `embedway embed --engine ray` starts where there is no cluster.
_CLUSTER = """
import sys
from embedway_gateway.bulk.ray.cluster import connected
with connected("local"):
    import ray
    print(ray.get_runtime_context().gcs_address, flush=True)
    sys.stdin.read()
"""


class RayCluster:
    """Its address, and its processes."""

    def __init__(self, process: subprocess.Popen[str], environment: dict[str, str]) -> None:
        self.address = environment["RAY_ADDRESS"]
        self._process = process
        self._environment = environment

    def run(self, *command: str, folder: Path) -> subprocess.Popen[str]:
        """A Python process that is a driver of this cluster."""
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def workers(self, doing: str = "") -> list[psutil.Process]:
        """The processes of our actors that are there now, and in this method."""
        found = []
        for process in psutil.Process(self._process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if "".join(process.cmdline()).startswith(f"ray::Worker{doing}"):
                    found.append(process)
        return found


@contextlib.contextmanager
def running_cluster() -> Iterator[RayCluster]:
    """
    Ray of as many cores as there are; it ends when this is left, or this process ends.

    Nobody without its token can use it, and it knows nothing of the user's home but the models.
    """
    # Not pytest's folder: sockets are in it, whose names may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="ew") as home:
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("RAY_")},
            "HOME": home,
            "RAY_TMPDIR": home,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "EMBEDWAY_HOME": str(embedway_home()),
            "PYTHONPATH": str(ray_path()),
        }
        process = subprocess.Popen(
            [sys.executable, "-c", _CLUSTER],
            cwd=home,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address, "Ray did not start"
            yield RayCluster(process, {**environment, "RAY_ADDRESS": address})
        finally:
            process.communicate("", timeout=60)
