"""What is wrong with an endpoint that the command line names."""

from __future__ import annotations

__all__ = ["PlaceError"]


class PlaceError(Exception):
    """The endpoint cannot be used as it is written; the message says how to write it."""
