"""
Whether a gateway stays as it is: many minutes of load, upstreams that fail, a configuration and
keys that change, clients that hang up. Memory, files and tasks must be flat, and vectors right.

    python tests/bench/soak.py --minutes 20            # at 70 % of what it carries
    python tests/bench/soak.py --minutes 4 --rate 60   # at a fixed rate
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from doubles.keyed import Keys
from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import free_port, served
from embedway_upstream.testing import fake_vectors

SIZE = 384
SHARE = 0.7
FAULTS = (500, 503, "reset", "nan", "truncated", "dropped", "shuffled", "html", "hang")
# Of the calls to an upstream.
FAULTY = 0.03
# Asked for again and again, so that they are found in the cache; the rest is new each time.
KNOWN = [f"known text {number}" for number in range(500)]
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


@dataclass(frozen=True, slots=True)
class Sample:
    """Of the gateway's process at one moment."""

    at: float
    rss: float
    """MiB."""
    files: int
    sockets: int
    threads: int
    tasks: int


@dataclass
class Told:
    """What became of the requests."""

    statuses: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    vectors: int = 0
    seconds: list[float] = field(default_factory=list)


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


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def ask(http: aiohttp.ClientSession, site: Site, told: Told, number: int) -> None:
    """One request, of one of five kinds."""
    kind = random.random()
    texts = [f"text {number} {n}" for n in range(8)] if kind < 0.2 else [f"text {number}"]
    if 0.2 <= kind < 0.6:
        texts = [random.choice(KNOWN)]
    body: dict[str, Any] = {"model": "m", "input": texts}
    if 0.6 <= kind < 0.62:
        body["input"] = [1, 2, 3]
    # Some hang up before they have their answer.
    patience = 0.004 if 0.62 <= kind < 0.64 else 30.0
    begun = time.monotonic()
    try:
        timeout = aiohttp.ClientTimeout(total=patience)
        async with http.post(f"{site.url}/v1/embeddings", json=body, timeout=timeout) as answer:
            said = await answer.read()
    except TimeoutError:
        told.statuses["hung up"] += 1
        return
    except aiohttp.ClientError as error:
        told.statuses[type(error).__name__] += 1
        return
    told.statuses[str(answer.status)] += 1
    told.seconds.append(time.monotonic() - begun)
    if answer.status == 200:
        found = np.array([item["embedding"] for item in json.loads(said)["data"]], np.float32)
        told.vectors += len(texts)
        if not np.allclose(found, fake_vectors(texts, SIZE), atol=1e-6):
            told.wrong += 1


async def load(site: Site, told: Told, *, rate: float, seconds: float) -> None:
    """So many requests a second, whether or not the earlier ones were answered."""
    connector = aiohttp.TCPConnector(limit=64)
    headers = {"authorization": f"Bearer {site.key}"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as http:
        running: set[asyncio.Task[None]] = set()
        begun = time.monotonic()
        for number in itertools.count():
            at = begun + number / rate
            if at - begun > seconds:
                break
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            task = asyncio.create_task(ask(http, site, told, number))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)


async def carried(site: Site) -> float:
    """Requests a second that 16 callers get answered."""
    told = Told()
    headers = {"authorization": f"Bearer {site.key}"}
    numbers = itertools.count(10**9)
    async with aiohttp.ClientSession(headers=headers) as http:
        begun = time.monotonic()

        async def call() -> None:
            while time.monotonic() - begun < 10:
                await ask(http, site, told, next(numbers))

        await asyncio.gather(*(call() for _ in range(16)))
        return sum(told.statuses.values()) / (time.monotonic() - begun)


async def change(
    site: Site, process: asyncio.subprocess.Process, changes: Counter[str], *, every: float
) -> None:
    """By turns another configuration, and keys that come and go."""
    for turn in itertools.count():
        await asyncio.sleep(every)
        if turn % 2:
            site.configure()
            process.send_signal(signal.SIGHUP)
            changes["configurations"] += 1
        else:
            name = f"other{turn}"
            site.keys.make(name)
            site.keys.revoke(name)
            changes["keys"] += 2


async def watch(process: asyncio.subprocess.Process, tasks: Path, samples: list[Sample]) -> None:
    """A sample a second."""
    seen = psutil.Process(process.pid)
    begun = time.monotonic()
    while True:
        process.send_signal(signal.SIGUSR1)
        await asyncio.sleep(1)
        samples.append(
            Sample(
                at=round(time.monotonic() - begun, 1),
                rss=round(seen.memory_info().rss / 2**20, 2),
                files=seen.num_fds(),
                sockets=len(seen.net_connections(kind="inet")),
                threads=seen.num_threads(),
                tasks=int(_read(tasks) or 0),
            )
        )


def drift(samples: list[Sample], name: str) -> tuple[float, float]:
    """
    The first and the last quarter after the warm-up, a fifth of it all. Of memory the medians; of
    what comes and goes with the load, the least there was: a leak lifts it.
    """
    warm = [float(getattr(one, name)) for one in samples[len(samples) // 5 :]]
    quarter = max(1, len(warm) // 4)
    level = statistics.median if name == "rss" else min
    return level(warm[:quarter]), level(warm[-quarter:])


def judged(samples: list[Sample], told: Told) -> Iterator[str]:
    """What is not as it must be."""
    for name in ("rss", "files", "sockets", "threads", "tasks"):
        first, last = drift(samples, name)
        slack = 0.05 * first if name == "rss" else max(0.05 * first, 4)
        print(f"{name:8} {first:9.1f} → {last:9.1f}  ({(last - first) / max(first, 1):+.1%})")
        if last > first + slack:
            yield f"{name} grows: {first:g} → {last:g}"
    if told.wrong:
        yield f"{told.wrong} answers held wrong vectors"
    good = told.statuses["200"]
    asked = sum(told.statuses.values()) - told.statuses["hung up"] - told.statuses["400"]
    if good < 0.99 * asked:
        yield f"only {good} of {asked} good requests were answered"


def _write(path: Path, samples: list[Sample]) -> None:
    facts = [{name: getattr(one, name) for name in Sample.__slots__} for one in samples]
    path.write_text(json.dumps(facts))


async def soak(options: argparse.Namespace, site: Site) -> int:
    process, tasks = await site.started()
    told, samples, changes = Told(), list[Sample](), Counter[str]()
    try:
        rate = options.rate or SHARE * await carried(site)
        print(f"{rate:.0f} requests a second for {options.minutes:g} minutes")
        beside = [
            asyncio.create_task(change(site, process, changes, every=options.every)),
            asyncio.create_task(watch(process, tasks, samples)),
        ]
        await load(site, told, rate=rate, seconds=60 * options.minutes)
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        code = await process.wait()
    print(f"{told.vectors} vectors, {told.wrong} wrong answers; {dict(told.statuses)}")
    print(f"changed: {dict(changes)}; p50 {1000 * statistics.median(told.seconds):.1f} ms")
    problems = list(judged(samples, told))
    if code:
        problems.append(f"the gateway ended with {code}")
    if options.json:
        _write(Path(options.json), samples)
    for problem in problems:
        print(f"NOT FLAT: {problem}")
    return 1 if problems else 0


def main() -> int:
    """The exit code: 1 when something grew, or a vector was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--rate", type=float, help="requests a second; default: 70 %% of the most")
    parser.add_argument("--every", type=float, default=5, help="seconds between two changes")
    parser.add_argument("--json", help="write the samples there")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        faulty = [Faulty(dimensions=SIZE) for _ in range(2)]
        urls = [stack.enter_context(served(one)) for one in faulty]
        return asyncio.run(soak(options, Site(folder, urls)))


if __name__ == "__main__":
    sys.exit(main())
