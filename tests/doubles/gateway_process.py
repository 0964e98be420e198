"""A real `embedway serve` in a process of its own, on a free port."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass
class GatewayProcess:
    """`base_url` ends in `/v1`; `log` holds the lines that the gateway logged so far."""

    base_url: str
    process: subprocess.Popen[str]
    log: list[str] = field(default_factory=list)

    @property
    def root(self) -> str:
        return self.base_url.removesuffix("/v1")

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body."""
        try:
            with urllib.request.urlopen(self.root + path, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def wait_ready(self, seconds: float = 120.0) -> None:
        """Until /readyz says so."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process.poll() is None, "\n".join(self.log)
            with contextlib.suppress(OSError):
                if self.get("/readyz")[0] == 200:
                    return
            time.sleep(0.05)
        raise AssertionError("not ready:\n" + "\n".join(self.log))

    def stop(self, name: signal.Signals = signal.SIGTERM, seconds: float = 30.0) -> int:
        """The exit code."""
        self.process.send_signal(name)
        return self.process.wait(seconds)


@contextlib.contextmanager
def running_gateway(
    *arguments: str, environment: dict[str, str] | None = None
) -> Iterator[GatewayProcess]:
    """Start it, and wait until it listens."""
    command: Sequence[str] = [
        *(sys.executable, "-m", "embedway_gateway", "serve", "--port", "0"),
        *arguments,
    ]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    assert process.stderr is not None
    log: list[str] = []
    try:
        for line in process.stderr:
            log.append(line)
            if "listening on " in line:
                message = json.loads(line)["message"]
                address = message.split("listening on ")[1].split()[0]
                break
        else:
            process.wait(10)
            raise AssertionError("it did not start:\n" + "".join(log))
        stderr = process.stderr
        reader = threading.Thread(target=lambda: log.extend(stderr), daemon=True)
        reader.start()
        yield GatewayProcess(address, process, log)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)
        with contextlib.suppress(UnboundLocalError):
            reader.join(5)
        process.stderr.close()
