"""A Python that has OpenVINO and what converts for it."""

from __future__ import annotations

from pathlib import Path

from doubles.environment import apart, install, requirements


def openvino_python() -> Path:
    """The interpreter; see `apart`."""
    return apart("openvino", _fill)


def _fill(python: Path) -> None:
    install(python, "--requirement", requirements("openvino"))
