"""
Whether a stream of any length stays in constant memory: texts of mixed length through `embed_iter`.

    python stream.py [--texts 1000000] [--words 3] [--minutes 10] [--json FILE]

The texts are the bench's passages, of 5 to 256 tokens, each cut at another word and with a number,
so that no two are the same. With `--words` they are at most so many words long, the last of which
is a number below 1,000. A process of its own makes them, so that this one has nothing but the
runtime in it. `--minutes` ends the stream early. Told
are the memory at 1, 10, 50 and 100 % of the texts, the most that the system has seen, and how it
grew over the second half, by a line through a thousand samples: about 0 when it is flat.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

from embedway_local import DEFAULT_MODEL, LocalEmbedder, Store, embedway_home

# The first sample that counts: by then three windows are in memory and most batch shapes have come.
_WARM = 4000
_SAMPLES = 1000
_SHARES = (1, 10, 50, 100)


def texts(count: int, words: int | None) -> Iterator[str]:
    """Different ones, always the same, made when they are wanted."""
    from passages import passages

    found = passages(Store(embedway_home()).folder(DEFAULT_MODEL) / "tokenizer.json", 1000)
    words_of = [passage.split() for passage in found]
    dice = random.Random(11)
    for index in range(count):
        some = dice.choice(words_of)
        if words is None:
            yield f"{' '.join(some[: dice.randint(1, len(some))])} {index}"
        else:
            # Below 1,000 a number is one token.
            yield " ".join([*some[: dice.randint(0, words - 1)], str(index % 1000)])


def write(count: int, words: int | None) -> None:
    """Print the texts, a line each, when the model is here and its graph built."""
    LocalEmbedder().close()
    for text in texts(count, words):
        print(text)


@contextmanager
def written(count: int, words: int | None) -> Iterator[Iterator[str]]:
    """The texts, from a process of their own."""
    command = [sys.executable, __file__, "--write", "--texts", str(count)]
    if words:
        command += ["--words", str(words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as child:
        assert child.stdout is not None
        try:
            first = next(child.stdout)
            yield (line.removesuffix("\n") for lines in ([first], child.stdout) for line in lines)
        finally:
            child.kill()


def measure(count: int, words: int | None, minutes: float | None) -> dict[str, float]:
    """Megabytes, and texts a second."""
    process = psutil.Process()
    samples: list[tuple[int, float]] = []
    every = max(1, count // _SAMPLES)
    with written(count, words) as lines, LocalEmbedder() as embedder:
        begun, used, done = time.perf_counter(), time.process_time(), 0
        for done, vector in enumerate(embedder.embed_iter(lines), 1):
            if done == 1 and not np.isfinite(vector).all():
                raise SystemExit("the first vector has no numbers")
            if done % every == 0:
                samples.append((done, process.memory_info().rss / 1e6))
                if len(samples) % 50 == 0:
                    told = f"{done:,} texts, {samples[-1][1]:.1f} MB"
                    print(told, file=sys.stderr, flush=True)
                if minutes and time.perf_counter() - begun > 60 * minutes:
                    break
        wall, cpu = time.perf_counter() - begun, time.process_time() - used
    if done != count and not minutes:
        raise SystemExit(f"{done} vectors of {count} texts")
    return {
        "texts": done,
        "texts_per_s": done / wall,
        "cpu_ms_per_text": 1e3 * cpu / done,
        **memory(samples),
    }


def memory(samples: list[tuple[int, float]]) -> dict[str, float]:
    """What the samples, each of texts and megabytes, say."""
    at, sizes = np.array(samples).T
    late = at >= max(_WARM, at[-1] / 2)
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        **{
            f"mb_at_{share}_percent": float(sizes[np.searchsorted(at, at[-1] * share / 100)])
            for share in _SHARES
        },
        # The system's own peak also knows of what came and went between two samples.
        "peak_mb": max(
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, float(sizes.max())
        ),
        "growth_mb_per_100k": 1e5 * float(np.polyfit(at[late], sizes[late], 1)[0]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--words", type=int, help="of a text at most, a number included")
    parser.add_argument("--minutes", type=float, help="end the stream after so many")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--write", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.words is not None and options.words < 1:
        parser.error("--words: at least 1")
    if options.texts < 3 * _WARM:
        parser.error(f"--texts: at least {3 * _WARM}, of which the first {_WARM} do not count")
    if options.write:
        write(options.texts, options.words)
        return
    found = measure(options.texts, options.words, options.minutes)
    for name, value in found.items():
        print(f"{name:20}{value:12,.2f}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", "ascii")


if __name__ == "__main__":
    main()
