"""
Whether a stream of any length stays in constant memory: texts of mixed length through `embed_iter`.

    python stream.py [--texts 1000000] [--json FILE]

The texts are the bench's passages, of 5 to 256 tokens, each cut at another word and with a number,
so that no two are the same. The process's memory is sampled a thousand times on the way. Told are
the first sample after the first 4,000 texts, the peak, the last, and how it grew over the second
half, by a line through the samples: about 0 when it is flat.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
from passages import passages

from embedway_local import DEFAULT_MODEL, LocalEmbedder, Store, embedway_home

# By then three windows are in memory and every batch shape has come.
_WARM = 4000
_SAMPLES = 1000


def texts(count: int) -> Iterator[str]:
    """Different ones, always the same, made when they are wanted."""
    found = passages(Store(embedway_home()).folder(DEFAULT_MODEL) / "tokenizer.json", 1000)
    words = [passage.split() for passage in found]
    dice = random.Random(11)
    for index in range(count):
        some = dice.choice(words)
        yield f"{' '.join(some[: dice.randint(1, len(some))])} {index}"


def measure(count: int) -> dict[str, float]:
    """Megabytes, and texts a second."""
    process = psutil.Process()
    samples: list[tuple[int, float]] = []
    every = max(1, (count - _WARM) // _SAMPLES)
    with LocalEmbedder() as embedder:
        begun, used, done = time.perf_counter(), time.process_time(), 0
        for done, vector in enumerate(embedder.embed_iter(texts(count)), 1):
            if done == 1 and not np.isfinite(vector).all():
                raise SystemExit("the first vector has no numbers")
            if done >= _WARM and (done - _WARM) % every == 0:
                samples.append((done, process.memory_info().rss / 1e6))
                if len(samples) % 100 == 0:
                    told = f"{done:,} texts, {samples[-1][1]:.0f} MB"
                    print(told, file=sys.stderr, flush=True)
        wall, cpu = time.perf_counter() - begun, time.process_time() - used
    if done != count:
        raise SystemExit(f"{done} vectors of {count} texts")
    at, sizes = np.array(samples).T
    late = at >= count / 2
    return {
        "texts": count,
        "texts_per_s": count / wall,
        "cpu_ms_per_text": 1e3 * cpu / count,
        "start_mb": float(sizes[0]),
        "peak_mb": float(sizes.max()),
        "end_mb": float(sizes[-1]),
        "growth_mb_per_100k": 1e5 * float(np.polyfit(at[late], sizes[late], 1)[0]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    if options.texts < 3 * _WARM:
        parser.error(f"--texts: at least {3 * _WARM}, of which the first {_WARM} do not count")
    LocalEmbedder().close()  # downloads and builds, once a machine
    found = measure(options.texts)
    for name, value in found.items():
        print(f"{name:20}{value:12,.2f}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", "ascii")


if __name__ == "__main__":
    main()
