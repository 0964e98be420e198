"""How long things take to start, and what they weigh: imports, the gateway, its memory."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil

REMOTE = """
models:
  - {name: m, dimensions: 8, upstreams: [{name: up, engine: openai, url: "http://127.0.0.1:9"}]}
"""


def measure(runs: int) -> dict[str, float]:
    """Medians; seconds and MiB."""
    with tempfile.TemporaryDirectory() as folder:
        remote = Path(folder) / "embedway.yaml"
        remote.write_text(REMOTE)
        bare = [_gateway("--config", str(remote)) for _ in range(runs)]
        model = [_gateway() for _ in range(runs)]
    return {
        "import langchain_embedway, s": _import_seconds("langchain_embedway", runs),
        "gateway without a model: ready, s": statistics.median(one[0] for one in bare),
        "gateway without a model: memory, MiB": statistics.median(one[1] for one in bare),
        "gateway with the cached default model: ready, s": statistics.median(
            one[0] for one in model
        ),
        "gateway with the cached default model: memory, MiB": statistics.median(
            one[1] for one in model
        ),
    }


def _import_seconds(name: str, runs: int) -> float:
    code = f"import time; t = time.perf_counter(); import {name}; print(time.perf_counter() - t)"
    seconds = [
        float(subprocess.check_output([sys.executable, "-c", code], text=True))
        for _ in range(runs + 1)
    ]
    # The first may have to compile; it warms the disk's cache, too.
    return statistics.median(seconds[1:])


def _gateway(*arguments: str) -> tuple[float, float]:
    """Seconds from starting the process until /readyz says 200, and MiB resident then."""
    port = _free_port()
    command = [sys.executable, "-m", "embedway_gateway", "serve", "--port", str(port)]
    started = time.perf_counter()
    with _running([*command, *arguments]) as process:
        while True:
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).close()
                break
            time.sleep(0.005)
        ready = time.perf_counter() - started
        memory = psutil.Process(process.pid).memory_info().rss / 2**20
    return ready, memory


@contextlib.contextmanager
def _running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    for name, value in measure(5).items():
        print(f"{name:55} {value:8.3f}")
