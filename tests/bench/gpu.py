"""
The local runtime on a card beside sentence-transformers in half precision, on the same card.

    python gpu.py --peer PYTHON [--base] [--attention sdpa] [--passages 1000] [--json FILE]

PYTHON is the interpreter of an environment with sentence-transformers and a PyTorch for the card
(for `--attention flash_attention_2` also flash-attn). The two take turns (A B A B), and medians are
told: texts and tokens a second, the share of what a large product of matrices reached on the card,
one query. `--base` measures the size of BERT-base with random weights instead of the default model.
Without a card it says so and ends.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from passages import passages
from rival import pipeline, quiet
from safetensors.numpy import save_file

from embedway_local import DEFAULT_MODEL, DeviceUnavailable, LocalEmbedder, Store, embedway_home
from embedway_local.batch import plan
from embedway_local.checkpoint import Checkpoint
from embedway_local.gpu.cuda import Plan
from embedway_local.gpu.driver import read_driver
from embedway_local.gpu.trial import TEXTS
from embedway_local.graph.cache import built
from embedway_local.graph.card import card_graph
from embedway_local.provider import load
from embedway_local.source.find import find
from embedway_local.tokenise import Tokeniser
from embedway_local.work import Workers

HERE = Path(__file__).parent
_BASE = {"hidden_size": 768, "num_attention_heads": 12, "num_hidden_layers": 12}
_BASE_INNER = 3072


class Ours:
    """The runtime's own parts on one card, in one precision."""

    def __init__(self, checkpoint: Checkpoint, home: Path, precision: str) -> None:
        self._tokeniser = Tokeniser(checkpoint)
        options = Plan(
            precision=precision,
            fused=partial(card_graph, checkpoint, home),
            pooling=checkpoint.pooling,
            trial=self._tokeniser.encode(TEXTS)[0],
            longest=checkpoint.max_tokens,
            heads=checkpoint.heads,
        )
        path = built(checkpoint, home)
        self._loaded = load(path, "cuda", None, pad=checkpoint.pad, plan=options)
        self._workers = Workers(self._loaded.callers)

    def embed(self, texts: list[str]) -> np.ndarray:
        ids, _ = self._tokeniser.encode(texts)
        session = self._loaded.session
        vectors = np.empty((len(texts), session.dimensions), np.float32)

        def run(batch: list[int]) -> None:
            vectors[batch] = session.run([ids[row] for row in batch])

        batches = plan([len(item) for item in ids], self._loaded.tokens, self._loaded.squares)
        self._workers.each(partial(run, batch) for batch in batches)
        return vectors

    def seconds(self, texts: list[str]) -> float:
        begun = time.perf_counter()
        self.embed(texts)
        return time.perf_counter() - begun

    def tokens(self, texts: list[str]) -> int:
        return sum(map(len, self._tokeniser.encode(texts)[0]))


class Peer:
    """The other side: peer_gpu.py under its own interpreter."""

    def __init__(self, python: str) -> None:
        self._process = subprocess.Popen(
            [python, str(HERE / "peer_gpu.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=quiet(),
        )

    def ask(self, command: str, argument: object = "") -> float:
        told = argument if isinstance(argument, str) else json.dumps(argument)
        pipes = self._process
        assert pipes.stdin is not None
        assert pipes.stdout is not None
        pipes.stdin.write(f"{command} {told}\n")
        pipes.stdin.flush()
        line = pipes.stdout.readline()
        if not line:
            raise RuntimeError(f"the peer ended at {command!r}; what it said is above")
        return float(json.loads(line) or 0)

    def close(self) -> None:
        self._process.communicate()


def base_model(model: Path, place: Path) -> Path:
    """A folder as the default model's, but of the size of BERT-base and with random weights."""
    shutil.copytree(model, place)
    config = json.loads((place / "config.json").read_text())
    old = {key: config[key] for key in ("hidden_size", "intermediate_size")}
    config |= {**_BASE, "intermediate_size": _BASE_INNER}
    (place / "config.json").write_text(json.dumps(config))
    random = np.random.default_rng(0)
    sizes = {old["hidden_size"]: _BASE["hidden_size"], old["intermediate_size"]: _BASE_INNER}
    from safetensors import safe_open

    weights: dict[str, np.ndarray] = {}
    with safe_open(model / "model.safetensors", framework="np") as file:
        for name in file.keys():  # noqa: SIM118 - it is no dictionary
            if ".layer." in name and ".layer.0." not in name:
                continue
            shape = [sizes.get(size, size) for size in file.get_slice(name).get_shape()]
            copies = _BASE["num_hidden_layers"] if ".layer.0." in name else 1
            for number in range(copies):
                made = random.normal(scale=0.02, size=shape).astype(np.float32)
                if "LayerNorm.weight" in name:
                    made += 1
                weights[name.replace(".layer.0.", f".layer.{number}.")] = made
    save_file(weights, place / "model.safetensors", metadata={"format": "pt"})
    return place


def operations(checkpoint: Checkpoint, lengths: list[int]) -> float:
    """Floating point operations for texts of these lengths, without padding."""
    config = checkpoint.config
    hidden, inner = config.number("hidden_size"), config.number("intermediate_size")
    layers = config.number("num_hidden_layers")
    products = 2 * (4 * hidden * hidden + 2 * hidden * inner) * sum(lengths)
    attention = 4 * hidden * sum(length * length for length in lengths)
    return float(layers * (products + attention))


def measure(options: argparse.Namespace, folder: Path, home: Path) -> dict:
    """Everything, in one run."""
    checkpoint = find(folder, Store(home), pooling="mean", max_tokens=256)
    texts = passages(checkpoint.tokenizer, options.passages)
    half, single = (Ours(checkpoint, home, kind) for kind in ("fp16", "fp32"))
    lengths = [half.tokens([text]) for text in texts]
    peer = Peer(options.peer)
    peer.ask("load", [str(folder), options.attention])
    peer.ask("texts", texts)
    found = {"peer_batch": peer.ask("batch"), "peak_flops": peer.ask("peak")}
    half.seconds(texts)
    single.seconds(texts)
    rounds = []
    for number in range(options.rounds):
        rounds.append((half.seconds(texts), single.seconds(texts), peer.ask("run")))
        told = ", ".join(f"{len(texts) / seconds:.0f}" for seconds in rounds[-1])
        print(f"round {number + 1}: {told} texts/s", file=sys.stderr, flush=True)
    for side, name in enumerate(("fp16", "fp32", "sentence_transformers_fp16")):
        seconds = statistics.median(times[side] for times in rounds)
        found[name] = {
            "texts_per_s": len(texts) / seconds,
            "tokens_per_s": sum(lengths) / seconds,
            "share_of_peak": operations(checkpoint, lengths) / seconds / found["peak_flops"],
        }
    found["ratios"] = [times[2] / times[0] for times in rounds]
    for name, ours in (("fp16", half), ("fp32", single)):
        found[name]["query_p50_ms"] = 1e3 * statistics.median(
            ours.seconds([text]) for text in texts[:100]
        )
    found["sentence_transformers_fp16"]["query_p50_ms"] = 1e3 * peer.ask("single")
    with tempfile.TemporaryDirectory() as place:
        peer.ask("save", f"{place}/vectors.npy")
        theirs = np.load(f"{place}/vectors.npy").astype(np.float32)
    peer.close()
    exact = single.embed(texts)
    found["least_cosine_fp16"] = float((half.embed(texts) * exact).sum(1).min())
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    found["least_cosine_peer"] = float((theirs * exact).sum(1).min())
    return found


def show(found: dict) -> None:
    """Print a table."""
    sides = ("fp16", "fp32", "sentence_transformers_fp16")
    print(f"{'':16}" + "".join(f"{side:>28}" for side in sides))
    for name in ("texts_per_s", "tokens_per_s", "share_of_peak", "query_p50_ms"):
        print(f"{name:16}" + "".join(f"{found[side][name]:28.3f}" for side in sides))
    ratios = ", ".join(f"{ratio:.2f}" for ratio in found["ratios"])
    print(f"\n{statistics.median(found['ratios']):.2f} times its texts/s (each round: {ratios})")
    print(f"the card's largest product of matrices: {found['peak_flops'] / 1e12:.0f} TFLOP/s")
    print(
        f"least cosine with ours in fp32: {found['least_cosine_fp16']:.6f} ours, "
        f"{found['least_cosine_peer']:.6f} the peer's"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--peer", metavar="PYTHON", required=True)
    parser.add_argument("--base", action="store_true")
    parser.add_argument("--attention", default="sdpa")
    parser.add_argument("--passages", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    try:
        LocalEmbedder(device="cuda").close()
    except DeviceUnavailable as error:
        print(f"no card, so nothing was measured: {error}")
        return
    driver = read_driver()
    assert driver is not None
    stored = Store(embedway_home()).folder(DEFAULT_MODEL)
    with tempfile.TemporaryDirectory() as place:
        folder = pipeline(stored, Path(place) / "model")
        if options.base:
            folder = base_model(folder, Path(place) / "base")
        found = {
            "card": driver.cards[0].name,
            "attention": options.attention,
            "size": "base" if options.base else DEFAULT_MODEL,
            "passages": options.passages,
            **measure(options, folder, Path(place) / "home"),
        }
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", "ascii")


if __name__ == "__main__":
    main()
