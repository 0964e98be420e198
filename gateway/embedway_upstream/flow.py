"""An answer that is passed on while it comes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from embedway_upstream.call import HTTPCall, Transport
from embedway_upstream.error import BadReply

__all__ = ["Flow", "HTTPFlow", "StreamTransport"]


class Flow:
    """
    The body of an answer, in the pieces in which it arrives. Whoever has it iterates it to the
    end or closes it; both may be done more than once, and the first end is the end.
    """

    def __init__(
        self, pieces: AsyncIterator[bytes], *, close: Callable[[], None] = lambda: None
    ) -> None:
        self._pieces = pieces
        self._close = close
        self._ends: list[Callable[[], None]] = []
        self._ended = False

    def __aiter__(self) -> Flow:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._pieces)
        except BaseException:
            # The regular end is one of them.
            self.close()
            raise

    def at_end(self, do: Callable[[], None]) -> None:
        """Call `do` when the flow ends, however it does; now, if it has."""
        if self._ended:
            do()
        else:
            self._ends.append(do)

    def close(self) -> None:
        """Want no more of it: the sender is hung up on, unless all was received."""
        if self._ended:
            return
        self._ended = True
        self._close()
        for do in self._ends:
            do()

    async def read(self, most: int) -> bytes:
        """All of it; `BadReply` when that is more than `most` bytes."""
        pieces: list[bytes] = []
        size = 0
        async for piece in self:
            size += len(piece)
            if size > most:
                self.close()
                raise BadReply(f"the upstream's reply is over {most} bytes")
            pieces.append(piece)
        return b"".join(pieces)


@dataclass(frozen=True, slots=True)
class HTTPFlow:
    """An answer of which the head is here; the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: Flow


class StreamTransport(Transport, Protocol):
    """
    Carries calls whose answers come in pieces. `open` returns with the head and raises what
    `send` does; the body raises `UpstreamUnreachable` when the connection breaks.
    """

    async def open(self, call: HTTPCall) -> HTTPFlow: ...
