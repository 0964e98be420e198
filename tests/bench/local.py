"""
The local runtime beside other ways to embed on this machine, on the same passages, in one run.

    python local.py --peer PYTHON [--passages 1000] [--rounds 5] [--stream 4000] [--json FILE]

PYTHON is the interpreter of an environment with sentence-transformers, fastembed and onnx. All take
turns (A B C D A B C D), only one is busy at a time, and medians are told, of the rate and of the
processor time, which holds on a busy machine too. Without --peer only ours is measured.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from passages import passages
from rival import Rival, pipeline, quiet
from sgemm import flops, peak
from tokenizers import Tokenizer

from embedway_local import DEFAULT_MODEL, LocalEmbedder, Store, embedway_home
from embedway_local.machine import usable_cores

HERE = Path(__file__).parent

RIVALS = ("sentence_transformers", "fastembed", "onnx_arrival", "onnx_sorted")
_OURS_COLD = "from embedway_local import LocalEmbedder; LocalEmbedder().embed(['a first vector'])"
_PEERS_COLD = """
import sys
from sentence_transformers import SentenceTransformer
SentenceTransformer(sys.argv[1], device="cpu").encode(["a first vector"])
"""
# The stream's memory after a quarter and at the end, after single texts have been embedded too.
_OURS_MEMORY = """
import itertools, json, sys
sys.path.insert(0, sys.argv[1])
from embedway_local import LocalEmbedder
from peer import peak
texts, count = json.load(sys.stdin), int(sys.argv[2])
embedder = LocalEmbedder()
for text in texts[:5]:
    embedder.embed([text])
vectors = embedder.embed_iter(itertools.islice(itertools.cycle(texts), count))
for _ in itertools.islice(vectors, count // 4):
    pass
print(peak())
for _ in vectors:
    pass
print(peak())
"""


def cold(command: list[str], times: int) -> float:
    """The median seconds from the start of a process to the end of its first vector."""
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=quiet())
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def timed(embedder: LocalEmbedder, texts: list[str]) -> tuple[float, float]:
    """Seconds, and seconds of processor time, for all texts."""
    begun, used = time.perf_counter(), time.process_time()
    embedder.embed(texts)
    return time.perf_counter() - begun, time.process_time() - used


def measure_ours(embedder: LocalEmbedder, texts: list[str], stream: int) -> dict[str, float]:
    """What is measured without a rival at the same time."""
    script = [sys.executable, "-c", _OURS_MEMORY, str(HERE), str(stream)]
    memory = subprocess.run(
        script, check=True, stdout=subprocess.PIPE, input=json.dumps(texts), text=True
    )
    early, late = (int(line) / 1e6 for line in memory.stdout.split())
    return {
        "cold_start_s": cold([sys.executable, "-c", _OURS_COLD], 5),
        "peak_memory_mb": late,
        "grown_in_stream_mb": late - early,
        "single_text_p50_ms": 1e3 * singles(embedder, texts),
    }


def singles(embedder: LocalEmbedder, texts: list[str]) -> float:
    return statistics.median(timed(embedder, [text])[0] for text in texts[:100])


def measure(
    python: str | None, texts: list[str], model: Path, rounds: int, stream: int
) -> dict[str, object]:
    """All figures of every side, and the ratios of each round."""
    with LocalEmbedder() as embedder, tempfile.TemporaryDirectory() as place:
        embedder.embed(texts[:50])
        figures = {"ours": measure_ours(embedder, texts, stream)}
        rivals: dict[str, Rival] = {}
        if python is not None:
            folder = pipeline(model, Path(place) / "model", python)
            for kind in RIVALS:
                rivals[kind] = Rival(python, kind, folder, texts)
        turns = take_turns(embedder, rivals, texts, rounds)
        for kind, rival in rivals.items():
            figures[kind] = {
                "single_text_p50_ms": 1e3 * rival.number("single"),
                "peak_memory_mb": rival.number("peak") / 1e6,
            }
            rival.ask("save", f"{place}/vectors.npy")
            difference = np.abs(np.load(f"{place}/vectors.npy") - embedder.embed(texts)).max()
            figures[kind]["largest_difference"] = float(difference)
            rival.close()
        if python is not None:
            command = [python, "-c", _PEERS_COLD, str(folder)]
            figures["sentence_transformers"]["cold_start_s"] = cold(command, 3)
    for kind, pairs in turns.items():
        figures[kind]["texts_per_s"] = len(texts) / statistics.median(wall for wall, _ in pairs)
        figures[kind]["cpu_ms_per_text"] = (
            1e3 * statistics.median(used for _, used in pairs) / len(texts)
        )
    return {"figures": figures, "ratios": ratios(turns), "share": share(model, texts, figures)}


def take_turns(
    embedder: LocalEmbedder, rivals: dict[str, Rival], texts: list[str], rounds: int
) -> dict[str, list[tuple[float, float]]]:
    """The seconds, by the clock and of the processor, of each side in each round."""
    turns: dict[str, list[tuple[float, float]]] = {kind: [] for kind in ("ours", *rivals)}
    for number in range(rounds):
        turns["ours"].append(timed(embedder, texts))
        for kind, rival in rivals.items():
            turns[kind].append(rival.run())
        told = ", ".join(f"{kind} {len(texts) / turns[kind][-1][0]:.0f}" for kind in turns)
        print(f"round {number + 1}: {told} texts/s", file=sys.stderr, flush=True)
    return turns


def ratios(turns: dict[str, list[tuple[float, float]]]) -> dict[str, dict[str, list[float]]]:
    """How many times a rival's time ours goes into it, for each round."""
    return {
        kind: {
            name: [theirs[at] / mine[at] for mine, theirs in zip(turns["ours"], pairs, strict=True)]
            for at, name in enumerate(("clock", "cpu"))
        }
        for kind, pairs in turns.items()
        if kind != "ours"
    }


def share(model: Path, texts: list[str], figures: dict[str, dict[str, float]]) -> dict[str, float]:
    """Of one core's product peak, which part each side makes use of by processor time."""
    reader = Tokenizer.from_file(str(model / "tokenizer.json"))
    reader.no_padding()
    work = flops([len(item.ids) for item in reader.encode_batch_fast(texts)]) / len(texts)
    best = peak()
    reached = {
        kind: work / (found["cpu_ms_per_text"] / 1e3) / best for kind, found in figures.items()
    }
    return {"peak_gflops_a_core": best / 1e9, **reached}


def show(found: dict) -> None:
    """Print a table."""
    figures = found["figures"]
    names = list(dict.fromkeys(name for side in figures.values() for name in side))
    print(f"{'':22}" + "".join(f"{side:>23}" for side in figures))
    for name in names:
        print(
            f"{name:22}"
            + "".join(f"{side.get(name, float('nan')):23.3g}" for side in figures.values())
        )
    for kind, both in found["ratios"].items():
        for name, values in both.items():
            each = ", ".join(f"{value:.2f}" for value in values)
            print(f"{statistics.median(values):.2f} × {kind} by {name} ({each})")
    share = found["share"]
    print(f"a core's products at best: {share['peak_gflops_a_core']:.0f} GFLOP/s")
    print("share: " + ", ".join(f"{kind} {share[kind]:.0%}" for kind in figures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--peer", metavar="PYTHON")
    parser.add_argument("--passages", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--stream", type=int, default=4000, help="texts of the stream for memory")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    LocalEmbedder().close()  # downloads and builds, once a machine
    folder = Store(embedway_home()).folder(DEFAULT_MODEL)
    texts = passages(folder / "tokenizer.json", options.passages)
    found = {
        "passages": len(texts),
        "cores": usable_cores(),
        **measure(options.peer, texts, folder, options.rounds, options.stream),
    }
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", "ascii")


if __name__ == "__main__":
    main()
