"""
The local runtime beside sentence-transformers in fp32, on the same passages, in one run.

    python local.py --peer PYTHON [--passages 1000] [--rounds 5] [--json FILE]

PYTHON is the interpreter of an environment with sentence-transformers. The two take turns
(A B A B), only one is busy at a time, and medians are told. Without --peer only ours is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from passages import passages

from embedway_local import DEFAULT_MODEL, LocalEmbedder, Store, embedway_home
from embedway_local.machine import usable_cores

HERE = Path(__file__).parent

_OURS_COLD = "from embedway_local import LocalEmbedder; LocalEmbedder().embed(['a first vector'])"
_PEERS_COLD = """
import sys
from sentence_transformers import SentenceTransformer
SentenceTransformer(sys.argv[1], device="cpu").encode(["a first vector"])
"""
_OURS_PEAK = """
import json, sys
sys.path.insert(0, sys.argv[1])
from embedway_local import LocalEmbedder
from peer import peak
LocalEmbedder().embed(json.load(sys.stdin))
print(peak())
"""


# What its folder on the hub holds beside the three files of our store.
_PIPELINE = {
    "modules.json": [
        {
            "idx": index,
            "name": str(index),
            "path": path,
            "type": f"sentence_transformers.models.{kind}",
        }
        for index, (path, kind) in enumerate(
            [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
        )
    ],
    "sentence_bert_config.json": {"max_seq_length": 256, "do_lower_case": False},
    "1_Pooling/config.json": {"word_embedding_dimension": 384, "pooling_mode_mean_tokens": True},
}


def pipeline(model: Path, place: Path) -> Path:
    """The model's files in `place`, with what sentence-transformers needs to know of them."""
    shutil.copytree(model, place, ignore=shutil.ignore_patterns("embedway.json"))
    for name in ("1_Pooling", "2_Normalize"):
        (place / name).mkdir()
    for name, value in _PIPELINE.items():
        (place / name).write_text(json.dumps(value), "ascii")
    return place


class Peer:
    """The other side: peer.py under its own interpreter."""

    def __init__(self, python: str, folder: Path, texts: list[str]) -> None:
        self._process = subprocess.Popen(
            [python, str(HERE / "peer.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=quiet(),
        )
        self.ask("load", str(folder))
        self.ask("texts", json.dumps(texts))

    def ask(self, command: str, argument: str = "") -> float:
        """Send a command; returns its answer."""
        pipes = self._process
        assert pipes.stdin is not None
        assert pipes.stdout is not None
        pipes.stdin.write(f"{command} {argument}\n")
        pipes.stdin.flush()
        line = pipes.stdout.readline()
        if not line:
            raise RuntimeError(
                f"the peer ended at {command!r}; does it have sentence-transformers?"
            )
        return float(json.loads(line) or 0)

    def close(self) -> None:
        """Let it end."""
        self._process.communicate()


def quiet() -> dict[str, str]:
    """The environment of the peer: no network, no progress bars."""
    return {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "TQDM_DISABLE": "1",
        "TOKENIZERS_PARALLELISM": "true",
    }


def cold(command: list[str], times: int) -> float:
    """The median seconds from the start of a process to the end of its first vector."""
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=quiet())
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def timed(embedder: LocalEmbedder, texts: list[str]) -> float:
    """Seconds for all texts."""
    begun = time.perf_counter()
    embedder.embed(texts)
    return time.perf_counter() - begun


def measure_ours(embedder: LocalEmbedder, texts: list[str]) -> dict[str, float]:
    """What is measured without a rival at the same time."""
    script = [sys.executable, "-c", _OURS_PEAK, str(HERE)]
    peak = subprocess.run(
        script, check=True, stdout=subprocess.PIPE, input=json.dumps(texts), text=True
    )
    return {
        "cold_start_s": cold([sys.executable, "-c", _OURS_COLD], 5),
        "peak_memory_mb": int(peak.stdout) / 1e6,
        "single_text_p50_ms": 1e3 * statistics.median(timed(embedder, [t]) for t in texts[:100]),
    }


def measure(peer_python: str | None, texts: list[str], model: Path, rounds: int) -> dict:
    """All figures: ours, the peer's, and the ratio of each round."""
    with LocalEmbedder() as embedder:
        embedder.embed(texts[:50])
        ours = measure_ours(embedder, texts)
        if peer_python is None:
            seconds = [timed(embedder, texts) for _ in range(rounds)]
            return {"ours": {**ours, "texts_per_s": len(texts) / statistics.median(seconds)}}
        with tempfile.TemporaryDirectory() as place:
            folder = pipeline(model, Path(place) / "model")
            peer = Peer(peer_python, folder, texts)
            pairs = take_turns(embedder, peer, texts, rounds)
            theirs = {
                "cold_start_s": cold([peer_python, "-c", _PEERS_COLD, str(folder)], 3),
                "single_text_p50_ms": 1e3 * peer.ask("single"),
                "peak_memory_mb": peer.ask("peak") / 1e6,
            }
            peer.ask("save", f"{place}/vectors.npy")
            difference = np.abs(np.load(f"{place}/vectors.npy") - embedder.embed(texts)).max()
            peer.close()
    for side, figures in enumerate((ours, theirs)):
        figures["texts_per_s"] = len(texts) / statistics.median(pair[side] for pair in pairs)
    ratios = [second / first for first, second in pairs]
    return {
        "ours": ours,
        "sentence_transformers": theirs,
        "ratios": ratios,
        "ratio": statistics.median(ratios),
        "largest_difference": float(difference),
    }


def take_turns(
    embedder: LocalEmbedder, peer: Peer, texts: list[str], rounds: int
) -> list[tuple[float, float]]:
    """The seconds of ours and of the peer's, for each round."""
    pairs = []
    for number in range(rounds):
        pairs.append((timed(embedder, texts), peer.ask("run")))
        told = ", ".join(f"{len(texts) / seconds:.0f}" for seconds in pairs[-1])
        print(f"round {number + 1}: {told} texts/s", file=sys.stderr, flush=True)
    return pairs


def show(found: dict) -> None:
    """Print a table."""
    sides = [side for side in ("ours", "sentence_transformers") if side in found]
    print(f"{'':22}" + "".join(f"{side:>24}" for side in sides))
    for name in ("texts_per_s", "cold_start_s", "single_text_p50_ms", "peak_memory_mb"):
        print(f"{name:22}" + "".join(f"{found[side][name]:24.2f}" for side in sides))
    if "ratio" in found:
        ratios = ", ".join(f"{ratio:.2f}" for ratio in found["ratios"])
        print(f"\n{found['ratio']:.2f} times its texts/s (each round: {ratios})")
        print(f"largest difference of a component: {found['largest_difference']:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--peer", metavar="PYTHON")
    parser.add_argument("--passages", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    LocalEmbedder().close()  # downloads and builds, once a machine
    folder = Store(embedway_home()).folder(DEFAULT_MODEL)
    texts = passages(folder / "tokenizer.json", options.passages)
    found = {
        "passages": len(texts),
        "cores": usable_cores(),
        **measure(options.peer, texts, folder, options.rounds),
    }
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", "ascii")


if __name__ == "__main__":
    main()
