"""Three gateways over one Redis behind nginx are one to callers, whatever becomes of any."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from doubles.caller import Callers
from doubles.gateway_process import GatewayProcess, running_gateway
from doubles.keyed import Keys
from doubles.nginx_server import running_nginx
from doubles.openai_upstream import OpenAIUpstream
from doubles.redis_server import running_redis
from doubles.serving import free_port, served

LIMIT = 150


class Row:
    """The gateways by their ports, and nginx at `url`."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.keys = Keys(folder)
        self.limited = self.keys.make("limited", rpm=LIMIT)
        self.free = self.keys.make("free")
        self._stack = stack
        self._config = folder / "embedway.yaml"
        redis = stack.enter_context(running_redis(folder, "--save", ""))
        self.upstream = OpenAIUpstream()
        shared = {"type": "redis", "url": redis.url, "timeout": "10s"}
        upstream = stack.enter_context(served(self.upstream))
        one = {"name": "up", "engine": "openai", "url": upstream, "max_concurrency": 64}
        facts = {
            "server": {"keys": str(self.keys.path)},
            "models": [{"name": "m", "dimensions": 8, "upstreams": [one]}],
            "cache": shared,
            "limits": shared,
        }
        # JSON is YAML.
        self._config.write_text(json.dumps(facts))
        self.ports = [free_port() for _ in range(3)]
        with ThreadPoolExecutor() as pool:
            begun = list(pool.map(self._started, self.ports))
        self.gateways = dict(zip(self.ports, begun, strict=True))
        self.url = stack.enter_context(running_nginx(folder, self.ports))

    def _started(self, port: int) -> GatewayProcess:
        gateway = running_gateway("--config", str(self._config), "--port", str(port))
        one = self._stack.enter_context(gateway)
        one.wait_ready()
        return one

    def start(self, port: int) -> None:
        """Again."""
        self.gateways[port] = self._started(port)

    def ask(self, url: str, text: str, key: str) -> httpx.Response:
        return httpx.post(
            f"{url}/v1/embeddings",
            json={"model": "m", "input": text},
            headers={"authorization": f"Bearer {key}"},
            timeout=20,
        )


@pytest.fixture(scope="module")
def row(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Row]:
    with ExitStack() as stack:
        yield Row(tmp_path_factory.mktemp("row"), stack)


def test_what_one_has_embedded_the_others_know(row: Row) -> None:
    first, *others = (f"http://127.0.0.1:{port}" for port in row.ports)
    assert row.ask(first, "known to all", row.free).headers["x-embedway-cache"] == "miss"
    end = time.monotonic() + 10
    for url in others:
        while row.ask(url, "known to all", row.free).headers["x-embedway-cache"] != "hit":
            # It is written after the answer.
            assert time.monotonic() < end


def test_a_limit_is_of_all_together_to_two_percent(row: Row) -> None:
    statuses: Counter[int] = Counter()
    lock = threading.Lock()
    begun = time.monotonic()
    end = begun + 1.5

    def flood() -> None:
        headers = {"authorization": f"Bearer {row.limited}"}
        with httpx.Client(headers=headers, timeout=20) as client:
            while time.monotonic() < end:
                answer = client.post(
                    f"{row.url}/v1/embeddings", json={"model": "m", "input": "the same"}
                )
                with lock:
                    statuses[answer.status_code] += 1

    threads = [threading.Thread(target=flood) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    took = time.monotonic() - begun

    assert set(statuses) == {200, 429}, "not enough was asked for the limit to be met"
    assert LIMIT * (1 + 1.5 / 60) * 0.98 <= statuses[200] <= LIMIT * (1 + took / 60) * 1.02


def test_one_that_is_killed_and_all_that_are_restarted_lose_nothing(row: Row) -> None:
    row.upstream.delay = 0.005
    with Callers(f"{row.url}/v1", count=6, key=row.free) as callers:
        _more(callers, 60)
        killed = row.ports[0]
        row.gateways[killed].process.send_signal(signal.SIGKILL)
        row.gateways[killed].process.wait(10)
        _more(callers, 120)
        row.start(killed)
        for port in row.ports[1:]:
            assert row.gateways[port].stop() == 0
            _more(callers, 60)
            row.start(port)
        _more(callers, 60)
    assert callers.wrong == []
    assert callers.lost == []
    assert callers.refused == 0


def _more(callers: Callers, count: int) -> None:
    """Wait until so many more were answered."""
    wanted = len(callers.served_by) + count
    end = time.monotonic() + 30
    while len(callers.served_by) < wanted:
        assert time.monotonic() < end, (callers.wrong, callers.lost)
        time.sleep(0.01)
