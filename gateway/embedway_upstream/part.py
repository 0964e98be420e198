"""Counts the texts of a part of a request from the first text of the whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from embedway_upstream.error import BadVector

__all__ = ["counted_from"]


@contextmanager
def counted_from(first: int) -> Iterator[None]:
    """Around what embeds a part whose first text is number `first`: `BadVector` tells so."""
    try:
        yield
    except BadVector as error:
        error.count(first + row for row in error.rows)
        raise
