"""MTEB and sentence-transformers, for one process of these tests."""

from __future__ import annotations

from pathlib import Path

from doubles.environment import install, kept, requirements


def mteb_packages() -> Path:
    """
    A folder to add behind what is installed here (`site.addsitedir`); it has what is missing.

    1.2 GB, most of it PyTorch; see `kept`.
    """
    return kept("mteb", requirements("mteb").read_bytes(), _fill)


def _fill(place: Path) -> None:
    target = ("--target", place)
    versions = requirements("mteb")
    lines = versions.read_text("utf-8").splitlines()
    # What PyTorch needs differs from build to build: CUDA's needs packages that are not listed.
    torch = next(line for line in lines if line.startswith("torch=="))
    install(None, *target, "--constraint", versions, torch)
    rest = place / "rest.txt"
    rest.write_text("\n".join(line for line in lines if line != torch), "utf-8")
    install(None, *target, "--no-deps", "--requirement", rest)
