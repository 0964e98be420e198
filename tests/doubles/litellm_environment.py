"""A Python that has LiteLLM's proxy."""

from __future__ import annotations

from pathlib import Path

from doubles.environment import constrained

# What our client needs is among what the proxy needs, but for these.
_OURS = ("msgspec", "numpy")


def litellm_python() -> Path:
    """The interpreter; see `apart`."""
    return constrained("litellm", "litellm[proxy]", *_OURS)
