"""
The local runtime in each precision beside its peers, on the same passages, taking turns.

    python precision.py [--side NAME=KIND@PYTHON ...] [--passages 1000] [--rounds 5] [--json FILE]

Ours in fp32 and int8 are always measured. Further sides name a kind and the interpreter of an
environment that has what it needs: `st` (sentence-transformers in fp32), `st-int8` (its ONNX back
end, quantised by itself for AVX-512 VNNI; needs optimum), `bf16` (ours, with onnxruntime-openvino),
`ov-int8` and `ov-bf16` (OpenVINO's own runtime; needs openvino, nncf and tokenizers),
`fastembed-int8` (on the export as ONNX Runtime's tools quantise it; needs fastembed and onnx).
One is busy at a time; medians are told, of wall-clock seconds and of processor seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
OURS = ("fp32", "int8", "bf16")
_RUNTIME = str(HERE.parents[1] / "local_runtime")
sys.path.append(str(HERE.parent))  # for doubles


class Side:
    """One that embeds, in a process of its own."""

    def __init__(self, kind: str, python: str, folder: Path, texts: list[str]) -> None:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
        if kind in OURS:
            environment["PYTHONPATH"] = _RUNTIME
        self._process = subprocess.Popen(
            [python, str(HERE / "precision.py"), "--serve", kind, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._ask(json.dumps(texts))

    def run(self) -> tuple[float, float]:
        """Wall-clock and processor seconds for all texts."""
        wall, cpu = self._ask("run")
        return wall, cpu

    def save(self, path: Path) -> None:
        """Keep the vectors of the last run."""
        self._ask(f"save {path}")

    def close(self) -> None:
        """Let it end."""
        self._process.communicate()

    def _ask(self, line: str) -> list[float]:
        pipes = self._process
        assert pipes.stdin is not None
        assert pipes.stdout is not None
        pipes.stdin.write(f"{line}\n")
        pipes.stdin.flush()
        answer = pipes.stdout.readline()
        if not answer:
            raise RuntimeError("a side ended; what it said stands above")
        return list(json.loads(answer))


def serve(kind: str, folder: Path) -> None:
    """Be a side: texts come first, then `run` and `save PATH`."""
    # What libraries print must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    texts = json.loads(sys.stdin.readline())
    embed = encoder(kind, folder, texts)
    embed(texts[:50])
    print("[]", file=answers, flush=True)
    vectors = None
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        if line.startswith("run"):
            vectors = embed(texts)
        else:
            import numpy as np

            np.save(line.split(maxsplit=1)[1].strip(), vectors)
        spent = [time.perf_counter() - wall, time.process_time() - cpu]
        print(json.dumps(spent), file=answers, flush=True)


def encoder(kind: str, folder: Path, texts: list[str]) -> Callable[[list[str]], object]:
    """What embeds texts; they are there to calibrate with."""
    if kind in OURS:
        from embedway_local import LocalEmbedder

        return LocalEmbedder(precision=kind).embed
    if kind.startswith("ov-"):
        from peer_openvino import OpenVINO

        return OpenVINO(folder, texts, kind.removeprefix("ov-")).embed
    if kind == "fastembed-int8":
        return _fastembed(folder)
    from sentence_transformers import SentenceTransformer

    if kind == "st":
        model = SentenceTransformer(str(folder), device="cpu")
    else:
        from sentence_transformers import export_dynamic_quantized_onnx_model

        whole = SentenceTransformer(str(folder), device="cpu", backend="onnx")
        whole.save_pretrained(str(folder / "st"))
        export_dynamic_quantized_onnx_model(whole, "avx512_vnni", str(folder / "st"))
        (file,) = (folder / "st" / "onnx").glob("*qint8*.onnx")
        options = {"file_name": f"onnx/{file.name}"}
        model = SentenceTransformer(
            str(folder / "st"), device="cpu", backend="onnx", model_kwargs=options
        )
    return lambda texts: model.encode(texts, show_progress_bar=False)


def _fastembed(folder: Path) -> Callable[[list[str]], object]:
    from onnxruntime.quantization import quantize_dynamic
    from peer import FastEmbed

    (folder / "model.onnx").rename(folder / "whole.onnx")
    quantize_dynamic(folder / "whole.onnx", folder / "model.onnx", per_channel=True)
    return FastEmbed(str(folder)).encode


def _placed(stored: Path, place: Path, kind: str) -> Path:
    from rival import pipeline

    folder = pipeline(stored, place)
    if kind.startswith(("ov-", "fastembed")):
        from doubles.bert_export import export

        export(folder, folder / "model.onnx")
    return folder


def measure(sides: dict[str, tuple[str, str]], rounds: int, count: int) -> dict:
    """Each side's texts/s, processor seconds and agreement with our fp32."""
    import numpy as np
    from passages import passages

    from embedway_local import DEFAULT_MODEL, LocalEmbedder, Store, embedway_home

    for precision in ("fp32", "int8"):
        LocalEmbedder(precision=precision).close()  # downloads, builds and measures
    stored = Store(embedway_home()).folder(DEFAULT_MODEL)
    texts = passages(stored / "tokenizer.json", count)
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    vectors = {}
    with tempfile.TemporaryDirectory() as place:
        running = {
            name: Side(kind, python, _placed(stored, Path(place) / name, kind), texts)
            for name, (kind, python) in sides.items()
        }
        for number in range(rounds):
            for name, side in running.items():
                spent[name].append(side.run())
            told = ", ".join(f"{name} {count / spent[name][-1][0]:.0f}" for name in sides)
            print(f"round {number + 1}: {told} texts/s", file=sys.stderr, flush=True)
        for name, side in running.items():
            side.save(Path(place) / f"{name}.npy")
            vectors[name] = np.load(Path(place) / f"{name}.npy")
            side.close()
    return {name: figures(spent, name, vectors) for name in sides}


def figures(spent: dict, name: str, vectors: dict) -> dict[str, float]:
    """Of one side; the ratios are medians over the rounds, of that side to our fp32."""
    ours = spent["fp32"]
    walls, cpus = zip(*spent[name], strict=True)
    cosines = (vectors["fp32"] * vectors[name]).sum(axis=1)
    return {
        "texts_per_s": len(cosines) / statistics.median(walls),
        "texts_per_cpu_s": len(cosines) / statistics.median(cpus),
        "wall_ratio": statistics.median(a[0] / b for a, b in zip(ours, walls, strict=True)),
        "cpu_ratio": statistics.median(a[1] / b for a, b in zip(ours, cpus, strict=True)),
        "cosine_mean": float(cosines.mean()),
        "cosine_worst": float(cosines.min()),
    }


def show(found: dict) -> None:
    """Print a table."""
    names = list(next(iter(found.values())))
    print(f"{'':14}" + "".join(f"{name:>17}" for name in names))
    for side, values in found.items():
        print(f"{side:14}" + "".join(f"{values[name]:17.4f}" for name in names))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--serve", nargs=2, metavar=("KIND", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--side", action="append", default=[], metavar="NAME=KIND@PYTHON")
    parser.add_argument("--passages", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    if options.serve:
        serve(options.serve[0], Path(options.serve[1]))
        return
    sides = {name: (name, sys.executable) for name in ("fp32", "int8")}
    for side in options.side:
        name, _, rest = side.partition("=")
        kind, _, python = rest.partition("@")
        sides[name] = (kind, python)
    found = measure(sides, options.rounds, options.passages)
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", "ascii")


if __name__ == "__main__":
    main()
