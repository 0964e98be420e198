"""Starts the gateways that are compared, each alone on one core, and the upstreams on another."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

HERE = Path(__file__).resolve().parent
PEERS = ("litellm", "sglang", "nginx")
GATEWAY_CORE = "0"
_COUNT = os.cpu_count() or 1
LOAD_CORES = "0" if _COUNT == 1 else f"1-{_COUNT - 1}"


class NotStarted(Exception):
    """It ended instead of answering; says its last words."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers; `start` is the seconds that took."""

    root: str
    process: psutil.Process
    start: float
    path: str = "/v1/embeddings"

    @property
    def url(self) -> str:
        return self.root + self.path

    def cpu(self) -> float:
        """Seconds of processor time so far, of all its processes."""
        return sum(sum(one.cpu_times()[:2]) for one in self._all())

    def peak(self) -> float:
        """The most memory it has had so far, in MB."""
        found = 0
        for one in self._all():
            for line in Path(f"/proc/{one.pid}/status").read_text("ascii").splitlines():
                if line.startswith("VmHWM:"):
                    found += int(line.split()[1]) * 1024
        return found / 1e6

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.root + path, timeout=10) as answer:
            return bytes(answer.read())

    def count(self) -> dict[str, int]:
        """Of an upstream: calls and texts since it was last asked."""
        return dict(json.loads(self.get("/count")))

    def _all(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


@contextlib.contextmanager
def upstream(*options: str) -> Iterator[Running]:
    """`upstream.py` on the core of the load."""
    port = free_port()
    command = [sys.executable, str(HERE / "upstream.py"), str(port), *options]
    with _started(command, port, ready="/health", core=LOAD_CORES) as running:
        yield running


@contextlib.contextmanager
def ours(
    upstreams: Sequence[Mapping[str, object]],
    url: str | None = None,
    *,
    dimensions: int,
    more: Mapping[str, object] | None = None,
) -> Iterator[Running]:
    """`embedway serve` with one worker and its own defaults: it counts, checks and logs."""
    named = [
        {"name": f"up{number}", "engine": "openai", "url": url, **item}
        for number, item in enumerate(upstreams)
    ]
    model = {"name": "m", "dimensions": dimensions, "upstreams": named}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "embedway.yaml"
        file.write_text(yaml.safe_dump({"models": [model], **(more or {})}))
        port = free_port()
        command = [sys.executable, "-m", "embedway_gateway", "serve", "--port", str(port)]
        command += ["--config", str(file)]
        with _started(command, port, ready="/readyz", core=GATEWAY_CORE) as running:
            yield running


@contextlib.contextmanager
def peer(
    name: str, urls: Sequence[str], *, environment: Path, timeout: float | None = None
) -> Iterator[Running]:
    """The peer of that name before the upstreams at those addresses; `NotStarted` without it."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        begin = {"litellm": _litellm, "sglang": _sglang, "nginx": _nginx}[name]
        command, ready, more = begin(Path(folder), port, urls, environment, timeout)
        if shutil.which(command[0]) is None:
            raise NotStarted(f"{name} is missing: there is no {command[0]}")
        with _started(command, port, ready=ready, core=GATEWAY_CORE, more=more) as running:
            yield running


_Start = tuple[list[str], str, dict[str, str]]


def _litellm(
    folder: Path, port: int, urls: Sequence[str], environment: Path, timeout: float | None
) -> _Start:
    """
    Its proxy as its documentation wants it for production: no debugging, no database, one worker
    a core, on the fastest server it offers; its cost map from the package, to fetch nothing.
    """
    limit = {} if timeout is None else {"timeout": timeout}
    models = [
        {
            "model_name": "m",
            "litellm_params": {"model": "openai/m", "api_base": f"{url}/v1", "api_key": "x"}
            | limit,
        }
        for url in urls
    ]
    file = folder / "config.yaml"
    settings = {"telemetry": False, "set_verbose": False}
    file.write_text(yaml.safe_dump({"model_list": models, "litellm_settings": settings}))
    command = [str(environment / "bin" / "litellm"), "--config", str(file)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1", "--run_granian"]
    more = {
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_TELEMETRY": "False",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        # Without keys it listens only when told so; a key would cost it a look-up.
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        "PATH": f"{environment / 'bin'}:{os.environ['PATH']}",
    }
    return command, "/health/liveliness", more


def _sglang(
    folder: Path, port: int, urls: Sequence[str], environment: Path, timeout: float | None
) -> _Start:
    """sglang's router, in Rust: it passes the body on, and looks at nothing of the answer."""
    command = [str(environment / "bin" / "python"), "-m", "sglang_router.launch_router"]
    command += ["--worker-urls", *urls, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--policy", "round_robin", "--log-level", "error"]
    command += ["--prometheus-port", str(free_port())]
    return command, "/readiness", {}


def _nginx(
    folder: Path, port: int, urls: Sequence[str], environment: Path, timeout: float | None
) -> _Start:
    """A plain reverse proxy whose connections stay open; whole answers fit its buffers."""
    servers = " ".join(f"server {url.removeprefix('http://')};" for url in urls)
    file = folder / "nginx.conf"
    file.write_text(f"""
        daemon off; worker_processes 1; pid {folder}/pid; error_log stderr crit;
        events {{ worker_connections 1024; }}
        http {{
          access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
          keepalive_requests 100000000; client_body_buffer_size 1m;
          upstream up {{ {servers} keepalive 64; keepalive_requests 100000000; }}
          server {{
            listen 127.0.0.1:{port};
            location / {{
              proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
              proxy_buffers 32 64k; proxy_busy_buffers_size 1m; proxy_max_temp_file_size 0;
            }}
          }}
        }}
    """)
    return ["nginx", "-c", str(file)], "/health", {}


@contextlib.contextmanager
def _started(
    command: list[str],
    port: int,
    *,
    ready: str,
    core: str,
    more: Mapping[str, str] | None = None,
    seconds: float = 120.0,
) -> Iterator[Running]:
    root = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as words:
        begun = time.perf_counter()
        process = subprocess.Popen(
            ["taskset", "-c", core, *command],
            env={**os.environ, **(more or {})},
            stdout=words,
            stderr=words,
        )
        try:
            while not _answers(root + ready):
                if process.poll() is not None or time.perf_counter() - begun > seconds:
                    words.seek(0)
                    raise NotStarted(words.read().decode(errors="replace").strip()[-300:])
                time.sleep(0.005)
            taken = time.perf_counter() - begun
            yield Running(root, psutil.Process(process.pid), taken)
        finally:
            # What was stopped on purpose would not hear of its end.
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(process.pid).resume()
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def cores(words: str) -> set[int]:
    """The numbers of what taskset calls 0 or 1-3."""
    first, _, last = words.partition("-")
    return set(range(int(first), int(last or first) + 1))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
