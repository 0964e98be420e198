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
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from soak_site import SIZE, Faulty, Site, read

from doubles.serving import served
from embedway_upstream.testing import fake_vectors

SHARE = 0.7
# Asked for again and again, so that they are found in the cache; the rest is new each time.
KNOWN = [f"known text {number}" for number in range(500)]


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


async def sampled(process: asyncio.subprocess.Process, tasks: Path, at: float) -> Sample:
    """After the second that it has to tell of its tasks."""
    process.send_signal(signal.SIGUSR1)
    await asyncio.sleep(1)
    seen = psutil.Process(process.pid)
    return Sample(
        at=round(time.monotonic() - at, 1),
        rss=round(seen.memory_info().rss / 2**20, 2),
        files=seen.num_fds(),
        sockets=len(seen.net_connections(kind="inet")),
        threads=seen.num_threads(),
        tasks=int(read(tasks) or 0),
    )


async def watch(process: asyncio.subprocess.Process, tasks: Path, samples: list[Sample]) -> None:
    """A sample a second."""
    begun = time.monotonic()
    while True:
        samples.append(await sampled(process, tasks, begun))


def over(before: Sample, now: Sample) -> list[str]:
    """What there is more of without load than there was before any; idle connections apart."""
    return [
        f"{name} without load: {getattr(before, name)} before, {getattr(now, name)} after"
        for name, slack in (("files", 6), ("sockets", 6), ("threads", 4), ("tasks", 4))
        if getattr(now, name) > getattr(before, name) + slack
    ]


async def left(process: asyncio.subprocess.Process, tasks: Path, before: Sample) -> list[str]:
    """What stays when the load is gone, and idle connections had the time to be closed."""
    for _ in range(90):
        now = await sampled(process, tasks, 0.0)
        if not over(before, now):
            break
    print(f"without load, before: {before}\n              after: {now}")
    return over(before, now)


def grown(samples: list[Sample]) -> list[str]:
    """Whether memory is flat: the first and the last quarter after a fifth that warms it up."""
    warm = [one.rss for one in samples[len(samples) // 5 :]]
    quarter = max(1, len(warm) // 4)
    first, last = statistics.median(warm[:quarter]), statistics.median(warm[-quarter:])
    print(f"memory {first:.1f} → {last:.1f} MiB ({(last - first) / first:+.1%})")
    return [f"memory: {first:g} → {last:g} MiB"] if last > 1.05 * first else []


def failed(told: Told) -> list[str]:
    """Wrong vectors, and too many good requests without an answer."""
    print(f"{told.vectors} vectors, {told.wrong} wrong answers; {dict(told.statuses)}")
    print(f"p50 {1000 * statistics.median(told.seconds):.1f} ms")
    good = told.statuses["200"]
    asked = sum(told.statuses.values()) - told.statuses["hung up"] - told.statuses["400"]
    problems = (
        [f"only {good} of {asked} good requests were answered"] if good < 0.99 * asked else []
    )
    return [*problems, f"{told.wrong} answers held wrong vectors"] if told.wrong else problems


def _write(path: Path, samples: list[Sample]) -> None:
    facts = [{name: getattr(one, name) for name in Sample.__slots__} for one in samples]
    path.write_text(json.dumps(facts))


async def soak(options: argparse.Namespace, site: Site) -> int:
    """The exit code."""
    process, tasks = await site.started()
    told, samples, changes = Told(), list[Sample](), Counter[str]()
    try:
        before = await sampled(process, tasks, 0.0)
        rate = options.rate or SHARE * await carried(site)
        print(f"{rate:.0f} requests a second for {options.minutes:g} minutes", flush=True)
        beside = [
            asyncio.create_task(change(site, process, changes, every=options.every)),
            asyncio.create_task(watch(process, tasks, samples)),
        ]
        await load(site, told, rate=rate, seconds=60 * options.minutes)
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        problems = [*failed(told), *grown(samples), *await left(process, tasks, before)]
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        code = await process.wait()
    print(f"changed: {dict(changes)}; ended with {code}")
    if options.json:
        _write(Path(options.json), samples)
    for problem in problems:
        print(f"NOT WELL: {problem}")
    return 1 if problems or code else 0


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
