"""
`embedway embed` end to end beside the runtime's own rate, and what kill -9 costs it.

    python bulk.py [--passages 100000] [--rounds 3] [--precision fp32] [--json FILE]

Both embed the same texts, in processes of their own, taking turns: the runtime's `embed_iter` with
the model loaded before the clock starts, the command from its start to its end, with reading,
writing and merging. Told are the rates by the clock and by processor time, and the peak memory.
Then the command is killed half way, gone on with, and its file compared with the whole one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from passages import passages

from embedway_local import DEFAULT_MODEL, LocalEmbedder, PrecisionChoice, Store, embedway_home
from embedway_local.machine import usable_cores

_RUNTIME = """
import json, sys, time
from embedway_local import LocalEmbedder
with open(sys.argv[1]) as file, LocalEmbedder(precision=sys.argv[2]) as embedder:
    embedder.embed(["a first text"] * 8)
    texts = (json.loads(line)["text"] for line in file)
    begun, used = time.perf_counter(), time.process_time()
    count = sum(1 for _ in embedder.embed_iter(texts))
    print(count, time.perf_counter() - begun, time.process_time() - used)
"""
_SOURCES = 1000


@dataclass(frozen=True, slots=True)
class Turn:
    """One run over all texts."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def written(path: Path, count: int) -> None:
    """`count` different texts: the bench's passages again and again, each time with a number."""
    LocalEmbedder().close()  # downloads and builds, once a machine
    found = passages(Store(embedway_home()).folder(DEFAULT_MODEL) / "tokenizer.json", _SOURCES)
    with path.open("w", encoding="utf-8") as file:
        for index in range(count):
            text = f"{found[index % _SOURCES]} {index // _SOURCES}"
            file.write(json.dumps({"text": text}) + "\n")


def command(path: Path, out: Path, precision: str, *more: str) -> list[str]:
    options = ["--out", str(out), "--precision", precision, *more]
    return [sys.executable, "-m", "embedway_gateway", "embed", str(path), *options]


def ended(process: subprocess.Popen[str], begun: float) -> Turn:
    """Wait for its end; a failure is told."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in {0, -9}:
        raise SystemExit(f"{process.args} ended with {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Turn(
        time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss * unit / 1e6
    )


def runtime(path: Path, precision: str, count: int) -> Turn:
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", _RUNTIME, str(path), precision], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        told = process.stdout.read().split()
        peak = ended(process, begun).peak_mb
    if int(told[0]) != count:
        raise SystemExit(f"{told[0]} vectors of {count} texts")
    return Turn(float(told[1]), float(told[2]), peak)


def embed(path: Path, out: Path, precision: str) -> Turn:
    begun = time.perf_counter()
    arguments = command(path, out, precision, "--overwrite")
    with subprocess.Popen(arguments, stderr=subprocess.DEVNULL, text=True) as process:
        return ended(process, begun)


def killed(path: Path, whole: Path, precision: str, count: int) -> dict[str, object]:
    """Kill it when half is done, go on, and compare."""
    out = whole.with_name("killed.npy")
    folder = out.with_name(f"{out.name}.parts")
    with subprocess.Popen(command(path, out, precision), stderr=subprocess.DEVNULL) as process:
        while _rows(folder) < count / 2 and process.poll() is None:
            time.sleep(0.05)
        process.kill()
    kept = _rows(folder)
    done = subprocess.run(
        command(path, out, precision, "--resume"), capture_output=True, text=True, check=True
    )
    earlier = re.search(r"([\d,]+) of them by an earlier run", done.stderr)
    mine, theirs = np.load(out, mmap_mode="r"), np.load(whole, mmap_mode="r")
    return {
        "kept_at_kill": kept,
        "not_repeated": int(earlier[1].replace(",", "")) if earlier else 0,
        "rows": len(mine),
        "identical": bool(mine.shape == theirs.shape and np.array_equal(mine, theirs)),
    }


def _rows(folder: Path) -> int:
    names = [path.name for path in folder.glob("part-*")] if folder.is_dir() else []
    return sum(int(name.split("-")[2]) for name in names)


def measure(count: int, rounds: int, precision: PrecisionChoice) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as place:
        path, out = Path(place) / "in.jsonl", Path(place) / "out.npy"
        written(path, count)
        LocalEmbedder(precision=precision).close()
        turns: dict[str, list[Turn]] = {"runtime": [], "embed": []}
        for number in range(rounds):
            turns["runtime"].append(runtime(path, precision, count))
            turns["embed"].append(embed(path, out, precision))
            told = ", ".join(
                f"{side} {count / found[-1].wall_s:.0f}" for side, found in turns.items()
            )
            print(f"round {number + 1}: {told} texts/s", file=sys.stderr, flush=True)
        return {
            "passages": count,
            "precision": precision,
            "cores": usable_cores(),
            "turns": {side: [asdict(turn) for turn in found] for side, found in turns.items()},
            "share": {
                "clock": _share(turns, lambda turn: turn.wall_s),
                "cpu": _share(turns, lambda turn: turn.cpu_s),
            },
            "kill": killed(path, out, precision, count),
        }


def _share(turns: dict[str, list[Turn]], of: Callable[[Turn], float]) -> float:
    """How much of the runtime's rate the command has, as the median of the rounds."""
    pairs = zip(turns["runtime"], turns["embed"], strict=True)
    return statistics.median(of(one) / of(other) for one, other in pairs)


def show(found: dict) -> None:
    """Print a table, and what the kill has cost."""
    print(f"{'':10}{'texts/s':>10}{'CPU ms/text':>14}{'peak MB':>10}")
    for side, turns in found["turns"].items():
        wall, cpu, peak = (
            statistics.median(turn[name] for turn in turns)
            for name in ("wall_s", "cpu_s", "peak_mb")
        )
        count = found["passages"]
        print(f"{side:10}{count / wall:10.0f}{1e3 * cpu / count:14.3f}{peak:10.0f}")
    for name, goal in (("clock", " (goal: at least 95 %)"), ("cpu", "")):
        print(f"{found['share'][name]:.1%} of the runtime's rate by {name}{goal}")
    kill = found["kill"]
    print(
        f"killed with {kill['kept_at_kill']:,} texts kept, of which {kill['not_repeated']:,} were "
        f"not repeated; {kill['rows']:,} rows, identical: {kill['identical']}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=["fp32", "bf16", "int8"], default="fp32")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    found = measure(options.passages, options.rounds, options.precision)
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", "ascii")


if __name__ == "__main__":
    main()
