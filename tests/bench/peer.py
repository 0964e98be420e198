"""
Sentence-transformers behind a pipe: each line in is a command, each line out its JSON answer.

Run with another environment's Python by local.py. Commands: `load` folder, `texts` JSON list,
`run` (seconds for all texts), `single` (median seconds of one text at a time), `save` path,
`peak` (bytes of memory).
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path


def peak() -> int:
    """The most memory that this process has had; `ru_maxrss` would count its parent's too."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def main() -> None:
    model = None
    texts: list[str] = []
    for line in sys.stdin:
        command, _, argument = line.rstrip("\n").partition(" ")
        begun = time.perf_counter()
        answer: object = None
        if command == "load":
            from sentence_transformers import SentenceTransformer

            model = SentenceTransformer(argument, device="cpu")
            model.encode(["warm"], show_progress_bar=False)
        elif command == "texts":
            texts = json.loads(argument)
        elif command == "run":
            model.encode(texts, show_progress_bar=False)
            answer = time.perf_counter() - begun
        elif command == "single":
            answer = single(model, texts[:100])
        elif command == "save":
            import numpy as np

            np.save(argument, model.encode(texts, show_progress_bar=False))
        elif command == "peak":
            answer = peak()
        print(json.dumps(answer), flush=True)


def single(model: object, texts: list[str]) -> float:
    """The median seconds of one text at a time."""
    seconds = []
    for text in texts:
        begun = time.perf_counter()
        model.encode([text], show_progress_bar=False)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
