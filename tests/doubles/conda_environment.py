"""A Python with what a conda environment for ONNX has."""

from __future__ import annotations

from pathlib import Path

from doubles.environment import apart, install, requirements


def conda_python() -> Path:
    """The interpreter; see `apart`."""
    return apart("conda", _fill)


def _fill(python: Path) -> None:
    # `tokenizers` names the hub's client, which only its downloads need.
    install(python, "--no-deps", "--requirement", requirements("conda"))
    install(python, "flatbuffers", "packaging", "protobuf")
