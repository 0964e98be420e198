"""The real command through the real gateway."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedway_local import LocalEmbedder

if TYPE_CHECKING:
    from doubles.gateway_process import GatewayProcess

PROGRAM = "from embedway_gateway.cli import main; main()"


def test_a_gateway_gives_the_runtimes_vectors_in_order(
    gateway: GatewayProcess, model_in_store: str, tmp_path: Path
) -> None:
    texts = [f"line {index} of {index % 7}" for index in range(150)]
    (tmp_path / "in.txt").write_text("\n".join(texts))
    out = tmp_path / "out.npy"
    arguments = ["embed", str(tmp_path / "in.txt"), "--out", str(out), "--batch-size", "32"]

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments, "--base-url", gateway.base_url],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "150 vectors of 384 numbers" in done.stderr
    with LocalEmbedder(model_in_store) as embedder:
        assert np.abs(np.load(out) - embedder.embed(texts)).max() < 1e-5


def test_a_gateway_that_is_not_there_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("one\n")
    address = "http://127.0.0.1:9/v1"
    arguments = ["embed", str(tmp_path / "in.txt"), "--out", str(tmp_path / "out.npy")]

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments, "--base-url", address],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.txt"]
