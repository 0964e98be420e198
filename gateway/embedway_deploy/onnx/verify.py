"""Runs a prepared score.py as ADS's `GenericModel.verify()` does, and compares its vectors."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedway_deploy.error import DeployError, WrongVectors
from embedway_deploy.kind.check import cosines
from embedway_deploy.kind.text import texts
from embedway_deploy.reference import embed_locally
from embedway_deploy.step import Pooling

__all__ = ["Verified", "verify_onnx"]

# What ADS (2.16) does: load score.py under a new name, load_model(), predict(body, model), and
# write the answer as JSON. In a process of its own, so that nothing of ours is on its path.
_PROGRAM = """
import importlib.util, json, sys
sys.dont_write_bytecode = True
folder = sys.argv[1]
spec = importlib.util.spec_from_file_location("score_of_a_model", folder + "/score.py")
score = importlib.util.module_from_spec(spec)
spec.loader.exec_module(score)
model = score.load_model()
for line in sys.stdin:
    print(json.dumps(score.predict(data=json.loads(line), model=model)), flush=True)
"""
_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Verified:
    """How many texts were compared, and the worst cosine with the local runtime."""

    texts: int
    worst: float


def verify_onnx(
    folder: Path,
    model: str,
    *,
    max_tokens: int,
    pooling: Pooling | None = None,
    agreement: float = 0.9999,
    python: str = sys.executable,
) -> Verified:
    """
    `pooling` is instead of what the model's folder says. `python` may be the one of an environment
    that holds what the conda environment does.

    Raises `WrongVectors` when they differ, `DeployError` when score.py cannot be run, or answers
    what must be refused.
    """
    asked = texts(max_tokens)
    bodies: list[dict[str, object]] = [
        {"input": list(asked), "model": model},
        {"input": asked[0]},
        {"input": [101, 2023, 102]},
        {"input": []},
    ]
    whole, alone, ids, empty = _predicted(folder, bodies, python)
    if any("error" not in answer for answer in (ids, empty)):
        raise DeployError(f"{folder}/score.py answers token ids, or no text, with vectors")
    vectors = _vectors(whole, folder)
    wanted = embed_locally(model, asked, max_tokens=max_tokens, pooling=pooling)
    found = np.concatenate([vectors, _vectors(alone, folder)])
    worst = float(cosines(found, np.concatenate([wanted, wanted[:1]])).min())
    # So written, a vector of NaN is wrong as well, which is not less than anything.
    if not worst >= agreement:
        raise WrongVectors(
            f"{folder}/score.py gives other vectors than the local runtime: the worst cosine is "
            f"{worst:.5f}, and {agreement} is needed; look at pooling and tokenizer of the export"
        )
    return Verified(len(asked), worst)


def _predicted(
    folder: Path, bodies: list[dict[str, object]], python: str
) -> list[dict[str, object]]:
    sent = "".join(f"{json.dumps(body)}\n" for body in bodies)
    try:
        done = subprocess.run(  # noqa: S603 - the interpreter is the caller's
            [python, "-I", "-c", _PROGRAM, str(folder)],
            input=sent,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeployError(f"{folder}/score.py cannot be run: {error}") from None
    lines = done.stdout.splitlines()
    if done.returncode != 0 or len(lines) != len(bodies):
        last = done.stderr.strip().splitlines()[-3:]
        raise DeployError(f"{folder}/score.py cannot be run:\n    " + "\n    ".join(last))
    return [json.loads(line) for line in lines]


def _vectors(
    answer: dict[str, object], folder: Path
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    items = answer.get("data")
    if not isinstance(items, list):
        raise DeployError(f"{folder}/score.py refuses texts: {json.dumps(answer)[:500]}")
    return np.array([item["embedding"] for item in items], np.float32)
