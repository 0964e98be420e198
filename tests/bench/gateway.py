"""
The gateway beside LiteLLM's proxy, sglang_router and nginx: in one run, taking turns, each alone
on one core, while the load and an upstream that takes no time are on the others.

    python tests/bench/gateway.py [--only single] [--seconds 3] [--rounds 3]
        [--peers litellm,sglang,nginx] [--environment .venv-bench-gateway] [--json FILE]

Needs wrk. `cpu_us` is the processor time of one request: it holds on a busy machine, too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import fault
import measure
from load import WrongAnswer
from peer_gateway import LOAD_CORES, PEERS, cores
from turn import OURS, Found, Options

MEASURES: Mapping[str, Callable[[Options], Found]] = {
    one.__name__: one
    for one in (
        measure.single,
        measure.keyed,
        measure.latency,
        measure.wide,
        measure.batch,
        measure.floats,
        measure.signed,
        measure.coalesce,
        measure.identical,
        measure.cache,
        fault.replicas,
        fault.outage,
        measure.memory,
        measure.start,
    )
}


def show(name: str, found: Found) -> None:
    """A table: median (least–most) of the rounds."""
    print(f"\n{name}: {MEASURES[name].__doc__}")
    for who, numbers in found.numbers.items():
        cells = [f"{what} {_shown(values)}" for what, values in numbers.items()]
        print(f"  {who:16} {'   '.join(cells)}")
    for who in found.numbers:
        if who != OURS and ", " not in who and (rate := found.ratio(OURS, who, "rate")):
            # What it takes of a processor is the inverse of what that could do.
            cpu = found.ratio(who, OURS, "cpu_us")
            print(f"  {OURS} is {rate:.3g} × {who}" + (f", {cpu:.3g} × by CPU" if cpu else ""))
    for who, why in found.missing.items():
        print(f"  {who:16} missing: {why}")
    for goal in found.goals:
        met = "met" if goal.met else "MISSED"
        print(f"  goal: {goal.words} {goal.wanted}: {goal.found:.3g}  {met}")


def _shown(values: list[float]) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    form = ",.0f" if middle >= 100 else ".3g"
    return f"{middle:{form}}" if low == high else f"{middle:{form}} ({low:{form}}–{high:{form}})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=MEASURES, help="may be repeated")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--environment", type=Path, default=Path(".venv-bench-gateway"))
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    unknown = set(filter(None, options.peers.split(","))) - set(PEERS)
    if unknown:
        parser.error(f"--peers: there is no {', '.join(unknown)}; known: {', '.join(PEERS)}")
    return options


def main() -> None:
    arguments = _arguments()
    for tool in ("wrk", "taskset"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is missing: apt-get install wrk util-linux")
    os.sched_setaffinity(0, cores(LOAD_CORES))
    options = Options(
        seconds=arguments.seconds,
        rounds=arguments.rounds,
        peers=[name for name in arguments.peers.split(",") if name],
        environment=arguments.environment.absolute(),
    )
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    results, wrong = {}, False
    print(f"{time.strftime('%d %B %Y')}, {machine}, load {os.getloadavg()[0]:.1f}")
    for name in arguments.only or MEASURES:
        try:
            found = MEASURES[name](options)
        except WrongAnswer as error:
            wrong = True
            print(f"\n{name}: WRONG ANSWER: {error}")
            continue
        show(name, found)
        busy = os.getloadavg()[0]
        others = ": not alone, trust what is by CPU" if busy > (os.cpu_count() or 1) + 0.5 else ""
        print(f"  load of the machine {busy:.1f}{others}", flush=True)
        results[name] = asdict(found)
    if arguments.json:
        told = {"date": time.strftime("%Y-%m-%d"), "machine": machine, "results": results}
        arguments.json.write_text(json.dumps(told, indent=2, ensure_ascii=False))
    if wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()
