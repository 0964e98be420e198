"""Gateways in processes of their own: they ask for keys, and share limits and usage."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from doubles.caller import Callers
from doubles.gateway_process import GatewayProcess, running_gateway
from doubles.keyed import Keys
from doubles.openai_upstream import OpenAIUpstream
from doubles.redis_server import RedisServer, running_redis
from doubles.serving import served


class Site:
    """A folder with keys and a configuration, and what runs from it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.keys = Keys(folder)
        self.upstream = OpenAIUpstream()
        self.stack = stack
        self._url = stack.enter_context(served(self.upstream))

    def configure(self, **more: Any) -> str:
        upstream = {"name": "up", "engine": "openai", "url": self._url, "max_concurrency": 64}
        facts = {
            "server": {"keys": str(self.keys.path)},
            "models": [{"name": "m", "dimensions": 8, "upstreams": [upstream]}],
            **more,
        }
        path = self.folder / "embedway.yaml"
        # JSON is YAML.
        path.write_text(json.dumps(facts))
        return str(path)

    def start(self, *arguments: str) -> GatewayProcess:
        gateway = self.stack.enter_context(running_gateway(*arguments))
        gateway.wait_ready()
        return gateway

    def usage(self, *arguments: str) -> list[dict[str, str]]:
        """As `embedway usage` prints it."""
        command = [sys.executable, "-m", "embedway_gateway", "usage", "--format", "csv"]
        command += ["--config", str(self.folder / "embedway.yaml"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        return list(csv.DictReader(io.StringIO(done.stdout)))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(tmp_path, stack)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    folder = tmp_path / "redis"
    folder.mkdir()
    with running_redis(folder) as server:
        yield server


class Flood:
    """Asks several gateways without a pause, from several threads each."""

    def __init__(self, gateways: list[GatewayProcess], secret: str) -> None:
        self._urls = [f"{gateway.base_url}/embeddings" for gateway in gateways]
        self._headers = {"authorization": f"Bearer {secret}"}
        self.statuses: Counter[int] = Counter()
        self._lock = threading.Lock()

    def run(self, seconds: float, *, threads: int = 4) -> tuple[float, float]:
        """When the first request was sent, and when the last was answered."""
        end = time.monotonic() + seconds
        workers = [
            threading.Thread(target=self._ask, args=(url, end))
            for url in self._urls
            for _ in range(threads)
        ]
        begun = time.monotonic()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        return begun, time.monotonic()

    def _ask(self, url: str, end: float) -> None:
        with httpx.Client(headers=self._headers, timeout=20) as client:
            while time.monotonic() < end:
                answer = client.post(url, json={"model": "m", "input": "the same"})
                with self._lock:
                    self.statuses[answer.status_code] += 1


def test_two_gateways_share_one_limit_exactly(site: Site, redis: RedisServer) -> None:
    limit = 240
    secret = site.keys.make("app", rpm=limit)
    config = site.configure(limits={"type": "redis", "url": redis.url, "timeout": "10s"})
    flood = Flood([site.start("--config", config) for _ in range(2)], secret)
    begun, ended = flood.run(4.0)

    assert set(flood.statuses) == {200, 429}
    most = limit * (1 + (ended - begun) / 60)
    least = limit * (1 + 4.0 / 60)
    assert least * 0.98 <= flood.statuses[200] <= most * 1.02
    # What both wrote down, each when it came to it, is what both answered.
    served, limited = str(flood.statuses[200]), str(flood.statuses[429])
    end = time.monotonic() + 20
    while (row := site.usage("--by", "key")[0])["requests"] != served or row["limited"] != limited:
        assert time.monotonic() < end, (row, flood.statuses)
    assert row["texts"] == served


def test_two_gateways_share_seats(site: Site, redis: RedisServer) -> None:
    secret = site.keys.make("app", max_concurrency=3)
    config = site.configure(limits={"type": "redis", "url": redis.url, "timeout": "10s"})
    gateways = [site.start("--config", config) for _ in range(2)]
    site.upstream.reset()
    site.upstream.delay = 0.02
    flood = Flood(gateways, secret)
    flood.run(1.5)

    assert set(flood.statuses) == {200, 429}
    assert site.upstream.most_running <= 3
    # All of them are given back.
    with httpx.Client(headers={"authorization": f"Bearer {secret}"}, timeout=20) as client:
        end = time.monotonic() + 20
        while True:
            url = f"{gateways[0].base_url}/embeddings"
            if client.post(url, json={"model": "m", "input": "x"}).status_code == 200:
                break
            assert time.monotonic() < end


def test_keys_change_under_load_and_nobody_is_dropped(site: Site) -> None:
    secret = site.keys.make("app")
    gateway = site.start("--config", site.configure(), "--workers", "2")
    with Callers(gateway.base_url, count=6, key=secret) as callers:
        for turn in range(2):
            name = f"other{turn}"
            other = site.keys.make(name)
            _wait(gateway, other, 200)
            site.keys.revoke(name)
            _wait(gateway, other, 401)
    assert callers.wrong == []
    assert callers.lost == []
    assert len(callers.served_by) > 100
    assert gateway.stop() == 0
    # Both workers wrote down the last of it before they ended.
    (row,) = site.usage("--by", "key", "--key", "app")
    assert row["requests"] == str(len(callers.served_by))
    said = "".join(gateway.log)
    assert secret not in said
    assert '"key":"app"' in said


def test_with_keys_it_listens_beyond_loopback_and_lets_nobody_else_in(site: Site) -> None:
    secret = site.keys.make("app")
    gateway = site.start("--config", site.configure(), "--host", "0.0.0.0")
    assert "0.0.0.0" in gateway.base_url
    body = {"model": "m", "input": "x"}
    for headers, status in (({}, 401), ({"authorization": f"Bearer {secret}"}, 200)):
        answer = httpx.post(f"{gateway.base_url}/embeddings", json=body, headers=headers)
        assert answer.status_code == status


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda keys: keys.path.unlink(), "embedway keys create"),
        (lambda keys: keys.path.chmod(0o666), "chmod 600"),
        (lambda keys: keys.path.write_text("keys: 7"), "keys:"),
    ],
)
def test_a_file_of_keys_that_cannot_be_used_is_told_in_one_sentence(
    site: Site, spoil: Any, words: str
) -> None:
    site.keys.make("app")
    spoil(site.keys)
    command = [sys.executable, "-m", "embedway_gateway", "serve", "--port", "0", "--workers", "2"]
    done = subprocess.run(
        [*command, "--config", site.configure()],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ,
    )

    assert done.returncode == 1
    assert words in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def _wait(gateway: GatewayProcess, secret: str, status: int) -> None:
    """Until every worker says so, as far as a few connections can tell."""
    end = time.monotonic() + 20
    alike = 0
    headers = {"authorization": f"Bearer {secret}"}
    while alike < 6:
        assert time.monotonic() < end
        # A connection each: who takes it is left to chance.
        with httpx.Client(verify=False, headers=headers) as client:
            found = client.get(f"{gateway.base_url}/models").status_code
        alike = alike + 1 if found == status else 0
