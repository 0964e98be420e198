"""A real LiteLLM proxy in a process of its own, with our provider on its path."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from doubles.litellm_environment import litellm_python
from doubles.serving import free_port

_ROOT = Path(__file__).parents[2]
_START = "from litellm import run_server; run_server()"


@contextlib.contextmanager
def running_proxy(config: Path, seconds: float = 120.0) -> Iterator[str]:
    """Start it, wait until it listens, and give its address, which ends in `/v1`."""
    python, port = litellm_python(), free_port()
    options = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    path = os.pathsep.join(str(_ROOT / name) for name in ("gateway", "integrations"))
    environment = {**os.environ, "PYTHONPATH": path, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    said = config.with_suffix(".log")
    with said.open("wb") as log:
        process = subprocess.Popen(
            [str(python), "-c", _START, *options],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=config.parent,
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}/health/liveliness", said, seconds)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait(10)


def _wait(process: subprocess.Popen[bytes], url: str, said: Path, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the proxy did not start:\n" + said.read_text("utf-8"))
