"""A real Prometheus on a free port, which scrapes what it is told."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import yaml

from doubles.serving import free_port


def program(name: str) -> str:
    """`prometheus` or `promtool`."""
    found = shutil.which(name)
    if found is None:
        raise AssertionError(
            f"these tests need a real {name}: apt-get install prometheus (brew install prometheus)"
        )
    return found


class PrometheusServer:
    """Asked over its own interface."""

    def __init__(self, port: int) -> None:
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10)

    def ask(self, path: str, **query: str) -> Any:
        answer = self._http.get(f"/api/v1/{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def query(self, expression: str) -> list[Any]:
        """What it gives now."""
        result: list[Any] = self.ask("query", query=expression)["result"]
        return result

    def ready(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return self._http.get("/-/ready").status_code == 200
        return False

    def close(self) -> None:
        self._http.close()


@contextlib.contextmanager
def running_prometheus(
    folder: Path, target: str, *, rules: Path, key: str
) -> Iterator[PrometheusServer]:
    """It scrapes `target`, a host with a port, twice a second as job embedway."""
    config = {
        "global": {"scrape_interval": "500ms", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {
                "job_name": "embedway",
                "static_configs": [{"targets": [target]}],
                "authorization": {"credentials": key},
            }
        ],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = [
        *(program("prometheus"), f"--config.file={folder / 'prometheus.yaml'}"),
        *(f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"),
        "--log.level=error",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        server = PrometheusServer(port)
        try:
            end = time.monotonic() + 30
            while not server.ready():
                assert process.poll() is None, (folder / "prometheus.log").read_text()
                assert time.monotonic() < end
                time.sleep(0.05)
            yield server
        finally:
            server.close()
            process.terminate()
            process.wait(10)
