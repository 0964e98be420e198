"""A folder that has Ray, for PYTHONPATH."""

from __future__ import annotations

from pathlib import Path

from doubles.environment import install, kept, requirements


def ray_path() -> Path:
    """
    It is beside this environment, not in it, because it is 250 MB that nothing else needs; all
    other packages are this environment's. See `kept`.
    """
    return kept("ray", requirements("ray").read_bytes(), _fill)


def _fill(place: Path) -> None:
    listed = ("--no-deps", "--requirement", requirements("ray"))
    install(None, "--target", place, *listed)
