"""A Python that has LiteLLM's proxy."""

from __future__ import annotations

from pathlib import Path

from doubles.environment import python_apart

VERSIONS = Path(__file__).with_name("litellm-requirements.txt")
# What our client needs is among what the proxy needs, but for these.
_OURS = ("msgspec", "numpy")


def litellm_python() -> Path:
    """The interpreter; see `python_apart`."""
    return python_apart("litellm", VERSIONS, "litellm[proxy]", *_OURS)
