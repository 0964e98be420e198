"""How far the reading of a request is."""

from __future__ import annotations

from enum import Enum, auto

__all__ = ["Part", "Refused"]


class Part(Enum):
    """Of a request, the one that is being read."""

    NONE = auto()
    HEAD = auto()
    BODY = auto()


class Refused(Exception):
    """Ends the parser's work; whoever raises it has said why."""
