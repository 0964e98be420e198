"""Where a request was sent so far, for those who choose where it is sent next."""

from __future__ import annotations

__all__ = ["Trail"]


class Trail:
    """Belongs to one request, and to all attempts at it: each writes down where it goes."""

    __slots__ = ("outrun", "upstreams")

    def __init__(self) -> None:
        self.upstreams: list[str] = []
        """The names, in the order of the attempts."""
        self.outrun = False
        """Whether a later attempt answered first: one that is then cancelled was too slow."""
