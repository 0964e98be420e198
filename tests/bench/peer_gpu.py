"""
Sentence-transformers in half precision on a card, behind a pipe: commands in, JSON answers out.

Run with another environment's Python by gpu.py. Commands: `load` JSON of folder and attention,
`texts` JSON list, `batch` (the best batch size of those tried, in seconds), `run` (seconds for all
texts), `single` (median seconds of one text at a time), `save` path, `peak` (the most floating
point operations a second that a large product of matrices in half precision reached).
"""

from __future__ import annotations

import json
import statistics
import sys
import time

_SIZES = (32, 128, 512)


class Peer:
    """The model, and how it is best fed."""

    def __init__(self, folder: str, attention: str) -> None:
        from sentence_transformers import SentenceTransformer

        kwargs = {"attn_implementation": attention}
        self._model = SentenceTransformer(folder, device="cuda", model_kwargs=kwargs).half()
        self._size = _SIZES[0]
        self.encode(["warm"])

    def encode(self, texts: list[str]) -> object:
        return self._model.encode(texts, batch_size=self._size, show_progress_bar=False)

    def seconds(self, texts: list[str]) -> float:
        begun = time.perf_counter()
        self.encode(texts)  # numpy arrays: the card has finished
        return time.perf_counter() - begun

    def best_batch(self, texts: list[str]) -> int:
        """Take the batch size that is fastest here."""
        found = {}
        for size in _SIZES:
            self._size = size
            self.seconds(texts)
            found[size] = self.seconds(texts)
        self._size = min(found, key=lambda size: found[size])
        return self._size


def peak() -> float:
    """Of 8,192 × 8,192, the median of ten."""
    import torch

    left, right = (torch.randn(8192, 8192, device="cuda", dtype=torch.float16) for _ in range(2))
    seconds = []
    for _ in range(13):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        _ = left @ right
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
    return 2 * 8192**3 / statistics.median(seconds[3:])


def main() -> None:
    peer: Peer | None = None
    texts: list[str] = []
    for line in sys.stdin:
        command, _, argument = line.rstrip("\n").partition(" ")
        answer: object = None
        if command == "load":
            peer = Peer(*json.loads(argument))
        elif command == "texts":
            texts = json.loads(argument)
        elif command == "batch":
            answer = peer.best_batch(texts)
        elif command == "run":
            answer = peer.seconds(texts)
        elif command == "single":
            answer = statistics.median(peer.seconds([text]) for text in texts[:100])
        elif command == "save":
            import numpy as np

            np.save(argument, peer.encode(texts))
        elif command == "peak":
            answer = peak()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
