"""When a request is over: with its reply, or where that is a stream, at the stream's end."""

from __future__ import annotations

from collections.abc import Callable

from embedway_upstream.chat import ChatReply

__all__ = ["at_end"]


def at_end(reply: object, do: Callable[[], None]) -> None:
    """Call `do` when the reply is over, which is now unless it is still to come."""
    if isinstance(reply, ChatReply):
        reply.flow.at_end(do)
    else:
        do()
