"""A Python that has infinity: about a minute, and 1.4 GB of disk, most of it PyTorch."""

from __future__ import annotations

from pathlib import Path

from doubles.environment import apart, install, requirements


def infinity_python() -> Path:
    """The interpreter; see `apart`."""
    return apart("infinity", _fill)


def _fill(python: Path) -> None:
    versions = requirements("infinity")
    # What PyTorch needs differs from build to build: CUDA's needs packages that are not listed.
    torch = next(line for line in versions.read_text("utf-8").split() if line[:7] == "torch==")
    install(python, "--constraint", versions, torch)
    # The list is complete; for Python 3.13 it has a numpy that infinity does not admit to.
    install(python, "--no-deps", "--requirement", versions)
