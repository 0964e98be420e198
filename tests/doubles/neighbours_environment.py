"""A Python that has the classes which people move from."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from doubles.environment import apart, install, requirements

_OURS = sysconfig.get_path("purelib")


def neighbours_python() -> Path:
    """
    The interpreter; see `apart`.

    It sees the packages of this environment behind its own, but none of ours: what is installed
    as editable is found by a file that only a folder of its own would have read.
    """
    return apart(
        "neighbours", _fill, decides=requirements("neighbours").read_bytes() + _OURS.encode()
    )


def neighbours_packages(python: Path) -> Path:
    """Where its own packages are."""
    places = {"base": str(python.parents[1]), "platbase": str(python.parents[1])}
    return Path(sysconfig.get_path("purelib", "venv", vars=places))


def _fill(python: Path) -> None:
    # The list is complete together with this environment, whose versions it is run with.
    install(python, "--no-deps", "--requirement", requirements("neighbours"))
    (neighbours_packages(python) / "tests.pth").write_text(f"{_OURS}\n", "utf-8")
