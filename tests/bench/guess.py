"""
Whether the time of a refusal tells anything of a key: wrong keys that begin as a right one, beside
wrong keys of chance, in turns, over a kept connection to a real gateway; and the look-up alone.

    python tests/bench/guess.py --count 20000

For each share of a right key that is kept, Welch's t of the times, which are cut at the 90th
percentile of all, and the difference of the medians. Beyond |t| = 4.5, as is usual for leaks of
time (ISO/IEC 17825), it says LEAK and ends with 1. A right key is timed too, to show that a
difference would be seen.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from doubles.gateway_process import running_gateway
from doubles.keyed import Keys
from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import served
from embedway_gateway.access.keyring import Keyring, Refused
from embedway_gateway.access.secret import make_secret

KEPT = (0, 4, 16, 32, 51)
"""Of the 52 characters of a key; 0 is a key of chance, as those beside it."""
LEAK = 4.5

Probe = Callable[[str], float]
Times = dict[str, list[float]]


def altered(right: str, kept: int) -> str:
    """A key of the same form, of which the first characters are right."""
    while True:
        other = right[:kept] + make_secret()[kept:]
        if other != right:
            return other


def over_the_wire(port: int) -> Probe:
    """Seconds until a gateway has refused, or not."""
    connection = http.client.HTTPConnection("127.0.0.1", port)

    def probe(key: str) -> float:
        begun = time.perf_counter()
        connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {key}"})
        connection.getresponse().read()
        return time.perf_counter() - begun

    return probe


def alone(keyring: Keyring) -> Probe:
    """Seconds of the look-up by itself."""

    def probe(key: str) -> float:
        secret = key.encode()
        begun = time.perf_counter()
        with contextlib.suppress(Refused):
            keyring.find(secret)
        return time.perf_counter() - begun

    return probe


def welch(one: Sequence[float], other: Sequence[float]) -> float:
    """The difference of the means in standard errors."""
    error = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    return (statistics.fmean(one) - statistics.fmean(other)) / error**0.5


def measured(
    probe: Probe, keys: dict[str, Callable[[], str]], count: int
) -> dict[str, list[float]]:
    """The times of each kind of key, which take turns in a new order each time."""
    times: Times = {name: [] for name in keys}
    order = list(keys)
    for turn in range(count + 200):
        random.shuffle(order)
        made = {name: keys[name]() for name in order}
        for name in order:
            took = probe(made[name])
            if turn >= 200:
                times[name].append(took)
    return times


def report(title: str, times: Times) -> bool:
    """Print it; whether wrong keys differ."""
    print(title)
    beside = times["chance"]
    most = statistics.quantiles([took for some in times.values() for took in some], n=10)[-1]
    cut = [took for took in beside if took <= most]
    leaks = False
    for name, some in times.items():
        kept = [took for took in some if took <= most]
        median = 1e6 * statistics.median(some)
        apart = 1e6 * (statistics.median(some) - statistics.median(beside))
        t = welch(kept, cut) if name != "chance" else 0.0
        leak = abs(t) > LEAK and name != "right"
        leaks |= leak
        word = "LEAK" if leak else ""
        print(f"  {name:14} median {median:9.3f} µs  apart {apart:+8.3f} µs  t {t:+7.2f}  {word}")
    return leaks


def main() -> int:
    """The exit code: 1 when the time of a wrong key tells how much of it is right."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--count", type=int, default=20_000, help="refusals of each kind")
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as name, served(OpenAIUpstream()) as upstream:
        folder = Path(name)
        made = Keys(folder)
        right = [made.make(f"app{number}") for number in range(50)]
        config = folder / "embedway.yaml"
        up = {"name": "up", "engine": "openai", "url": upstream}
        models = [{"name": "m", "dimensions": 8, "upstreams": [up]}]
        config.write_text(json.dumps({"server": {"keys": str(made.path)}, "models": models}))
        kinds: dict[str, Callable[[], str]] = {"chance": make_secret}
        for kept in KEPT:
            kinds[f"{kept} of 52 right"] = lambda kept=kept: altered(random.choice(right), kept)
        kinds["right"] = lambda: random.choice(right)
        keyring = Keyring(made.file.read())
        leaks = report("The look-up alone", measured(alone(keyring), kinds, count))
        with running_gateway("--config", str(config)) as gateway:
            gateway.wait_ready()
            port = int(gateway.root.rpartition(":")[2])
            leaks |= report("GET /v1/models", measured(over_the_wire(port), kinds, count))
    return int(leaks)


if __name__ == "__main__":
    sys.exit(main())
