"""What is asked of the upstreams before a call is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from embedway_gateway.layers.bound import Bounds

__all__ = ["Room"]


class Room(Protocol):
    """How many calls the upstreams take at once now, and how much each of them may hold."""

    def slots(self) -> int: ...
    def queueing(self) -> int:
        """In how many of the slots a call only waits at the upstream, as far as is known."""
        ...

    def bounds(self) -> Bounds: ...
