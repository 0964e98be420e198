"""What is raised when a connection ends before the reply does."""

from __future__ import annotations

import ssl

from embedway_gateway.wire.trouble import why
from embedway_upstream import UpstreamUnreachable

__all__ = ["Broken"]

# What a server closed as idle breaks within a round trip, of 0.3 s to the other end of the world.
_ROUND_TRIP = 0.5


class Broken(UpstreamUnreachable):
    """`untouched`: no byte of a reply had come."""

    reached = True

    def __init__(self, cause: Exception | None = None, *, untouched: bool) -> None:
        detail = type(cause).__name__ if cause else "closed"
        message = "the connection to the upstream broke"
        if isinstance(cause, ssl.SSLError):
            # TLS 1.3 tells after the handshake that a client's certificate is missing.
            message = f"{message}: {why(cause)}"
        super().__init__(message, detail=detail)
        self.untouched = untouched

    def was_idle(self, seconds: float) -> bool:
        """
        Whether the connection seems to have been closed before the call that was sent on it,
        `seconds` ago, came there: later, the server had worked on it, and would do so twice.
        """
        return self.untouched and seconds < _ROUND_TRIP
