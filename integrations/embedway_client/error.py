"""The errors that only a client can raise; they hang on the tree of `embedway_upstream`."""

from __future__ import annotations

from embedway_upstream import EmbeddingError

__all__ = ["AuthenticationFailed", "VectorSpaceChanged"]


class AuthenticationFailed(EmbeddingError):
    """The server refuses the API key, or wants one."""


class VectorSpaceChanged(EmbeddingError):
    """The vectors cannot be compared with those that came before, or that were expected."""
