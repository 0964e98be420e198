"""
Another embedding library behind a pipe: each line in is a command, each line out its JSON answer.

Run with another environment's Python by local.py. Commands: `load` kind folder, `texts` JSON list,
`run` ([seconds, seconds of processor time] for all texts), `single` (median seconds of one text at
a time), `save` path, `peak` (bytes of memory). `peer.py export FOLDER` writes FOLDER/model.onnx as
an ordinary export of PyTorch's.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from pathlib import Path

MAX_TOKENS = 256


def peak() -> int:
    """The most memory that this process has had; `ru_maxrss` would count its parent's too."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


class SentenceTransformers:
    """In fp32, as it is by default."""

    def __init__(self, folder: str) -> None:
        from sentence_transformers import SentenceTransformer

        self._model = SentenceTransformer(folder, device="cpu")

    def encode(self, texts: list[str]) -> object:
        return self._model.encode(texts, show_progress_bar=False)


class FastEmbed:
    """With its defaults, on the export, as a model of the user's own."""

    def __init__(self, folder: str) -> None:
        from fastembed import TextEmbedding
        from fastembed.common.model_description import ModelSource, PoolingType

        TextEmbedding.add_custom_model(
            model="local/minilm",
            pooling=PoolingType.MEAN,
            normalization=True,
            sources=ModelSource(hf="local/minilm"),
            dim=384,
            model_file="model.onnx",
        )
        self._model = TextEmbedding("local/minilm", specific_model_path=folder)

    def encode(self, texts: list[str]) -> object:
        import numpy as np

        return np.array(list(self._model.embed(texts)))


class PlainOnnx:
    """ONNX Runtime's defaults on the export, batches of 32 padded to their longest text."""

    def __init__(self, folder: str, *, by_length: bool) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        self._by_length = by_length
        self._tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding()
        options = onnxruntime.SessionOptions()
        # Counted, because its default counts the host's cores in a container.
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
        self._session = onnxruntime.InferenceSession(
            f"{folder}/model.onnx", options, providers=["CPUExecutionProvider"]
        )

    def encode(self, texts: list[str]) -> object:
        import numpy as np

        order = list(range(len(texts)))
        if self._by_length:
            order.sort(key=lambda index: -len(texts[index]))
        found = np.empty((len(texts), 384), dtype=np.float32)
        for start in range(0, len(order), 32):
            chosen = order[start : start + 32]
            read = self._tokenizer.encode_batch([texts[index] for index in chosen])
            ids = np.array([item.ids for item in read])
            mask = np.array([item.attention_mask for item in read])
            feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": 0 * ids}
            tokens = self._session.run(None, feeds)[0]
            summed = (tokens * mask[:, :, None]).sum(axis=1)
            found[chosen] = summed / np.linalg.norm(summed, axis=1, keepdims=True)
        return found


KINDS = {
    "sentence_transformers": SentenceTransformers,
    "fastembed": FastEmbed,
    "onnx_arrival": lambda folder: PlainOnnx(folder, by_length=False),
    "onnx_sorted": lambda folder: PlainOnnx(folder, by_length=True),
}


def export(folder: str) -> None:
    """What optimum and others make of a checkpoint: opset 17, inputs of any shape."""
    import torch
    from transformers import AutoModel

    class Tokens(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = AutoModel.from_pretrained(folder, attn_implementation="eager")

        def forward(self, ids: object, mask: object, types: object) -> object:
            return self.model(
                input_ids=ids, attention_mask=mask, token_type_ids=types
            ).last_hidden_state

    example = torch.ones((2, 8), dtype=torch.int64)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    axes = {name: {0: "batch", 1: "length"} for name in [*names, "last_hidden_state"]}
    torch.onnx.export(
        Tokens().eval(),
        (example, example, 0 * example),
        f"{folder}/model.onnx",
        input_names=names,
        output_names=["last_hidden_state"],
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )


def main() -> None:
    if sys.argv[1:2] == ["export"]:
        export(sys.argv[2])
        return
    # Libraries that print would spoil the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    model = None
    texts: list[str] = []
    for line in sys.stdin:
        command, _, argument = line.rstrip("\n").partition(" ")
        answer: object = None
        if command == "load":
            kind, _, folder = argument.partition(" ")
            model = KINDS[kind](folder)
            model.encode(["warm"])
        elif command == "texts":
            texts = json.loads(argument)
        elif command == "run":
            begun, used = time.perf_counter(), time.process_time()
            model.encode(texts)
            answer = [time.perf_counter() - begun, time.process_time() - used]
        elif command == "single":
            answer = single(model, texts[:100])
        elif command == "save":
            import numpy as np

            np.save(argument, model.encode(texts))
        elif command == "peak":
            answer = peak()
        print(json.dumps(answer), file=answers, flush=True)


def single(model: object, texts: list[str]) -> float:
    """The median seconds of one text at a time."""
    seconds = []
    for text in texts:
        begun = time.perf_counter()
        model.encode([text])
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
