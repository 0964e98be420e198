"""What `soak.py` loads: a gateway in a process of its own, and upstreams that fail now and then."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import sys
from collections import deque
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from doubles.keyed import Keys
from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import free_port

__all__ = ["SIZE", "Faulty", "Site", "read"]

SIZE = 384
FAULTS = (500, 503, "reset", "nan", "truncated", "dropped", "shuffled", "html", "hang")
# Of the calls to an upstream.
FAULTY = 0.03
# `embedway serve`, which also tells how many tasks it has: on SIGUSR1, into a file.
LAUNCH = """
import asyncio, signal, sys
from embedway_gateway.cli import main
file = sys.argv.pop(1)
def tell(*_):
    running = sum(not task.done() for task in list(asyncio.tasks._all_tasks))
    open(file, "w").write(str(running))
signal.signal(signal.SIGUSR1, tell)
main()
"""


class Faulty(OpenAIUpstream):
    """Right, but for some of its calls."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        ill = scope["type"] == "http" and random.random() < FAULTY
        self.faults = deque([random.choice(FAULTS)] if ill else [])
        self.seen.clear()
        await super().__call__(scope, receive, send)


class Site:
    """A gateway with two upstreams, and what changes while it runs."""

    def __init__(self, folder: Path, urls: list[str]) -> None:
        self.folder = folder
        self.keys = Keys(folder)
        self.key = self.keys.make("soak")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._urls = urls
        self._turn = itertools.count()
        self.configure()

    def configure(self) -> None:
        """Another configuration each time: other weights, another bound of a batch."""
        turn = next(self._turn)
        upstreams = [
            {"name": f"up{n}", "engine": "openai", "url": url, "timeout": "2s"}
            | {"weight": 1 + (turn + n) % 2, "max_inputs": 16 + turn % 3}
            for n, url in enumerate(self._urls)
        ]
        facts = {
            "server": {"keys": str(self.keys.path), "port": self.port, "request_timeout": "10s"},
            "models": [{"name": "m", "dimensions": SIZE, "upstreams": upstreams}],
            "cache": {"type": "memory", "max_bytes": "4MiB"},
        }
        temporary = self.folder / "embedway.yaml.new"
        temporary.write_text(json.dumps(facts))
        temporary.replace(self.folder / "embedway.yaml")

    async def started(self) -> tuple[asyncio.subprocess.Process, Path]:
        """The process, which serves, and the file where it tells of its tasks."""
        tasks = self.folder / "tasks"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", LAUNCH, str(tasks)),
            *("serve", "--config", str(self.folder / "embedway.yaml")),
            stderr=(self.folder / "log").open("wb"),
        )
        async with aiohttp.ClientSession() as http:
            for _ in range(600):
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(f"{self.url}/readyz") as answer:
                        if answer.status == 200:
                            return process, tasks
                await asyncio.sleep(0.1)
        raise SystemExit(
            "the gateway did not start; its log:\n" + (self.folder / "log").read_text()
        )


def read(path: Path) -> str:
    """What it holds; nothing where it is not."""
    return path.read_text() if path.exists() else ""
