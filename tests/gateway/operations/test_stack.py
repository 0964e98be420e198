"""`make stack`: gateways behind nginx, with Redis and Prometheus, on loopback."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import psutil
import pytest

from doubles.openai_upstream import OpenAIUpstream
from doubles.operations_environment import OPERATIONS
from doubles.serving import served

STACK = OPERATIONS / "stack"
EMBEDWAY = Path(sys.executable).with_name("embedway")


class Stack:
    """`said` is what it prints of itself, by the first word of a line."""

    def __init__(self, process: subprocess.Popen[str], port: int, folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.port = port
        self.said: dict[str, str] = {}
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Ctrl-C"):
                break
            word, _, rest = line.partition(" ")
            self.said[word] = rest.split()[0]
        else:
            process.wait(10)
            assert process.stderr is not None
            raise AssertionError(process.stderr.read())

    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=self.said["gateway"], api_key=self.said["key"], max_retries=0)

    def gateway(self, number: int) -> psutil.Process:
        """The one that listens at the n-th port."""
        words = f"--port {self.port + number}"
        found = [
            child
            for child in psutil.Process(self.process.pid).children()
            if words in " ".join(child.cmdline())
        ]
        return found[0]


def free_ports(count: int) -> int:
    """The first of so many in a row; another process begins to look elsewhere."""
    begin = os.getpid() % 160
    for first in (21000 + 50 * (number % 160) for number in range(begin, begin + 160)):
        try:
            for port in range(first, first + count):
                with socket.socket() as listener:
                    listener.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no ports are free")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    port = free_ports(6)
    with served(OpenAIUpstream()) as url:
        upstream = {"name": "up", "engine": "openai", "url": url}
        models = folder / "models.yaml"
        # YAML, too.
        models.write_text(
            f"models: {json.dumps([{'name': 'm', 'dimensions': 8, 'upstreams': [upstream]}])}\n"
        )
        process = subprocess.Popen(
            [str(STACK), str(EMBEDWAY), "--port", str(port), "--models", str(models)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"TMPDIR": str(folder), "PATH": "/usr/bin:/bin"},
        )
        try:
            yield Stack(process, port, folder)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            finally:
                process.kill()
                process.communicate()


def test_a_key_opens_it_and_none_does_not(stack: Stack) -> None:
    answer = stack.client().embeddings.create(model="m", input=["a text"])
    assert len(answer.data[0].embedding) == 8
    base = stack.said["gateway"]
    assert httpx.post(f"{base}/embeddings", json={}).status_code == 401


def test_prometheus_reads_all_three_gateways(stack: Stack) -> None:
    end = time.monotonic() + 30
    while True:
        found = httpx.get(
            f"{stack.said['prometheus']}/api/v1/query", params={"query": 'up{job="embedway"}'}
        ).json()["data"]["result"]
        if [one["value"][1] for one in found] == ["1", "1", "1"]:
            break
        assert time.monotonic() < end, found
        time.sleep(0.1)


def test_one_that_is_killed_is_missed_by_nobody(stack: Stack) -> None:
    client = stack.client()
    stack.gateway(1).kill()
    for number in range(12):
        assert client.embeddings.create(model="m", input=[f"text {number}"]).data
    assert stack.process.poll() is None


def test_what_all_of_them_answered_is_on_one_bill(stack: Stack) -> None:
    headers = {"authorization": f"Bearer {stack.said['key']}"}
    url = f"{stack.said['gateway'].removesuffix('/v1')}/admin/usage"
    stack.client().embeddings.create(model="m", input=["one more"])
    end = time.monotonic() + 20
    while True:
        rows = httpx.get(url, headers=headers).json()
        if any(row.get("key") == "you" for row in rows.get("data", [])):
            break
        assert time.monotonic() < end, rows
        time.sleep(0.1)


def test_it_ends_whole_when_it_is_told_to(stack: Stack) -> None:
    """The last test: it stops the stack."""
    children = psutil.Process(stack.process.pid).children(recursive=True)
    assert len(children) >= 5
    stack.process.send_signal(signal.SIGINT)
    assert stack.process.wait(60) == 0
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
    assert list(stack.folder.glob("embedway-stack-*")) == []


@pytest.mark.parametrize("arguments", [["--colour", "red"], ["--port"]])
def test_an_unknown_word_is_named(arguments: list[str]) -> None:
    done = subprocess.run(
        [str(STACK), str(EMBEDWAY), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert arguments[0] in done.stderr


def test_what_is_missing_is_named_with_its_package(tmp_path: Path) -> None:
    for program in ("bash", "dirname"):
        (tmp_path / program).symlink_to(shutil.which(program) or "")
    done = subprocess.run(
        [shutil.which("bash") or "", str(STACK), str(EMBEDWAY)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": str(tmp_path)},
    )
    assert done.returncode == 1
    assert "redis-server" in done.stderr
    assert "prometheus" in done.stderr
