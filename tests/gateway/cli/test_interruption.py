"""The real command on the real model, ended in the middle."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROWS = 2400
BATCH = 256


@pytest.fixture(scope="module")
def command(model_in_store: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    path = tmp_path_factory.mktemp("bulk") / "in.txt"
    path.write_text("".join(f"line {index} \u2028 of {index % 7}\n" for index in range(ROWS)))
    options = ["--model", model_in_store, "--batch-size", str(BATCH)]
    program = "from embedway_gateway.cli import main; main()"
    return [sys.executable, "-c", program, "embed", str(path), *options]


@pytest.fixture(scope="module")
def uninterrupted(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out.npy"
    subprocess.run([*command, "--out", str(out)], check=True, capture_output=True)
    return out


def end(command: list[str], out: Path, name: signal.Signals, parts: int) -> tuple[int, str]:
    """Start, wait for so many parts, send the signal; returns exit code and standard error."""
    folder = out.with_name(f"{out.name}.parts")
    with subprocess.Popen(
        [*command, "--out", str(out)],
        stderr=subprocess.PIPE,
        text=True,
        # A shell that started the tests in the background has them ignore SIGINT, and us with them.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    ) as process:
        deadline = time.monotonic() + 60
        while len(list(folder.glob("part-*"))) < parts:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(name)
        _, error = process.communicate(timeout=30)
        return process.returncode, error


def stamps(out: Path) -> dict[str, int]:
    """When each finished part was written."""
    folder = out.with_name(f"{out.name}.parts")
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*")}


def test_what_a_killed_run_finished_is_neither_lost_nor_repeated(
    command: list[str], uninterrupted: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.npy"
    code, _ = end(command, out, signal.SIGKILL, 2)
    first = stamps(out)
    assert code == -signal.SIGKILL
    assert not out.exists()

    code, _ = end([*command, "--resume"], out, signal.SIGKILL, len(first) + 2)
    second = stamps(out)
    assert first.items() <= second.items()
    assert len(second) < ROWS / BATCH

    done = subprocess.run(
        [*command, "--resume", "--out", str(out)], check=True, capture_output=True, text=True
    )

    assert f"{len(second) * BATCH:,} of them by an earlier run" in done.stderr
    assert np.abs(np.load(out) - np.load(uninterrupted)).max() < 1e-6
    assert list(tmp_path.iterdir()) == [out]


def test_an_interrupted_run_says_how_to_go_on(command: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out.npy"

    start = time.monotonic()
    code, error = end(command, out, signal.SIGINT, 1)

    assert code == 130
    assert "Interrupted." in error
    assert "texts are done and kept; the same command with --resume goes on." in error
    assert "Traceback" not in error
    assert stamps(out)
    assert time.monotonic() - start < 30


def test_the_cli_gives_the_runtimes_own_vectors(uninterrupted: Path, model_in_store: str) -> None:
    from embedway_local import LocalEmbedder

    texts = [f"line {index} \u2028 of {index % 7}" for index in range(64)]

    with LocalEmbedder(model_in_store) as embedder:
        assert np.abs(np.load(uninterrupted)[:64] - embedder.embed(texts)).max() < 1e-6
