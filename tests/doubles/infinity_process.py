"""A real infinity server with the real model, in a process of its own, on free ports."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from doubles.infinity_environment import infinity_python

SERVED = "org/minilm"
OTHER = "org/minilm-cls"
"""The same weights, of which the first token's vector is taken: another vector space."""
KEY = "key-of-infinity"

_SCRIPT = Path(__file__).with_name("infinity_server.py")
_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class InfinityProcess:
    """Two servers: `plain` has `SERVED` alone and no key; `keyed` has both models and `KEY`."""

    plain: str
    keyed: str
    """With its prefix `/v1`."""

    @property
    def root(self) -> str:
        return self.keyed.removesuffix("/v1")


@contextlib.contextmanager
def running_infinity(model: Path, place: Path) -> Iterator[InfinityProcess]:
    """Start it with the files of `model`, and wait until it answers; `place` is an empty folder."""
    served = pipeline(model, place / "mean", "pooling_mode_mean_tokens")
    other = pipeline(model, place / "cls", "pooling_mode_cls_token")
    servers = [
        {"prefix": "", "key": "", "models": {SERVED: str(served)}},
        {"prefix": "/v1", "key": KEY, "models": {SERVED: str(served), OTHER: str(other)}},
    ]
    log = place / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [str(infinity_python()), str(_SCRIPT), json.dumps(servers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=place,
            env=_environment(place),
        )
    assert process.stdin is not None
    assert process.stdout is not None
    too_late = threading.Timer(_SECONDS, process.kill)
    too_late.start()
    try:
        line = process.stdout.readline()
        too_late.cancel()
        assert line, f"infinity did not start:\n{log.read_text('utf-8', 'replace')[-4000:]}"
        plain, keyed = (f"http://127.0.0.1:{port}" for port in json.loads(line))
        yield InfinityProcess(plain, f"{keyed}/v1")
    finally:
        too_late.cancel()
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        process.stdout.close()


def _environment(place: Path) -> dict[str, str]:
    """Without a network, telemetry, and what the user may have set for a server of their own."""
    ours = {key: value for key, value in os.environ.items() if not key.startswith("INFINITY_")}
    for key in ("PYTHONHOME", "PYTHONPATH"):
        ours.pop(key, None)
    return {
        **ours,
        "ANONYMIZED_TELEMETRY": "0",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(place),
        "INFINITY_HOME": str(place),
        "INFINITY_ANONYMOUS_USAGE_STATS": "0",
        "INFINITY_LOG_LEVEL": "warning",
        "TOKENIZERS_PARALLELISM": "false",
    }


def pipeline(model: Path, place: Path, mode: str) -> Path:
    """The model's files, with what its folder on the hub tells sentence-transformers."""
    parts = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.{kind}"}
        for number, (path, kind) in enumerate(
            (path, f"models.{kind}") for path, kind in parts.items()
        )
    ]
    for path in parts:
        (place / path).mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (place / name).symlink_to(model / name)
    settings = {
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": 256, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": 384, mode: True}
        | ({} if mode == "pooling_mode_mean_tokens" else {"pooling_mode_mean_tokens": False}),
    }
    for name, value in settings.items():
        (place / name).write_text(json.dumps(value), "ascii")
    return place
