"""Starts the peers of the local runtime, and gives them the model as they want it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

__all__ = ["Rival", "pipeline", "quiet"]

HERE = Path(__file__).parent

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
    # fastembed reads these two.
    "tokenizer_config.json": {"model_max_length": 256, "pad_token": "[PAD]"},
    "special_tokens_map.json": {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]"},
}


def pipeline(model: Path, place: Path, python: str | None = None) -> Path:
    """The model in `place`, with what the peers need to know of it, and an export by `python`."""
    shutil.copytree(model, place, ignore=shutil.ignore_patterns("embedway.json"))
    for name in ("1_Pooling", "2_Normalize"):
        (place / name).mkdir()
    for name, value in _PIPELINE.items():
        (place / name).write_text(json.dumps(value), "ascii")
    if python is not None:
        command = [python, str(HERE / "peer.py"), "export", str(place)]
        subprocess.run(command, check=True, capture_output=True, env=quiet())
    return place


class Rival:
    """Another library: peer.py under its own interpreter."""

    def __init__(self, python: str, kind: str, folder: Path, texts: list[str]) -> None:
        self._process = subprocess.Popen(
            [python, str(HERE / "peer.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=quiet(),
        )
        self._kind = kind
        self.ask("load", f"{kind} {folder}")
        self.ask("texts", json.dumps(texts))

    def ask(self, command: str, argument: str = "") -> object:
        """Send a command; returns its answer."""
        pipes = self._process
        assert pipes.stdin is not None
        assert pipes.stdout is not None
        pipes.stdin.write(f"{command} {argument}\n")
        pipes.stdin.flush()
        line = pipes.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._kind} ended at {command!r}; is it installed?")
        return json.loads(line)

    def run(self) -> tuple[float, float]:
        """Seconds, and seconds of processor time, for all texts."""
        wall, used = self.ask("run")
        return wall, used

    def number(self, command: str) -> float:
        """The answer to a command that has one."""
        return float(self.ask(command))

    def close(self) -> None:
        """Let it end."""
        self._process.communicate()


def quiet() -> dict[str, str]:
    """The environment of a peer: no network, no progress bars."""
    return {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "TQDM_DISABLE": "1",
        "TOKENIZERS_PARALLELISM": "true",
    }
