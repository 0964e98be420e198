"""A worker's one connection to the model process, made again whenever it broke."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable

import msgspec

from embedway_gateway.model_process.frame import MOST_HEADER, Frames, Payload
from embedway_gateway.model_process.message import (
    Answer,
    Ask,
    Cancel,
    encode,
    read_answer,
)
from embedway_upstream import BatchTooLarge, UpstreamUnreachable

__all__ = ["Line", "ProcessEnded"]

_log = logging.getLogger("embedway.gateway")

# What the frame holds beside the texts.
_MARGIN = 1024


class ProcessEnded(UpstreamUnreachable):
    """The model process ended while it computed."""

    reached = True


class Line:
    """
    Carries calls, many at a time. Each `lost` that was added to `watchers` is called when the
    connection breaks, after the calls on it have failed.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[tuple[Answer, Payload]]] = {}
        self._frames: Frames | None = None
        self._connecting = asyncio.Lock()
        self._closed = False
        self.breaks = 0
        """How often the connection broke."""
        self.watchers: set[Callable[[], None]] = set()

    def number(self) -> int:
        """For a new call."""
        return next(self._numbers)

    async def connect(self) -> None:
        """Have a connection. Raises `OSError` while nobody listens."""
        async with self._connecting:
            if self._frames is not None:
                return
            loop = asyncio.get_running_loop()
            frames = Frames(self._received, lambda: self._lost(frames))
            await loop.create_unix_connection(lambda: frames, self._path)
            self._frames = frames

    async def ask(self, message: Ask) -> tuple[Answer, Payload]:
        """
        The answer to a call, and its payload. A caller that is cancelled cancels the call.

        Raises `ProcessEnded` when the connection breaks first or there is none, `BatchTooLarge`
        for more than a frame holds, and `UnicodeEncodeError` for what has no UTF-8 form.
        """
        header = encode(message)
        if len(header) > MOST_HEADER - _MARGIN:
            raise BatchTooLarge("the texts are more than the model process takes at once")
        if self._frames is None:
            raise _ended()
        future: asyncio.Future[tuple[Answer, Payload]]
        future = asyncio.get_running_loop().create_future()
        self._waiting[message.number] = future
        self._frames.send(header)
        try:
            return await future
        except asyncio.CancelledError:
            self.tell(Cancel(message.number))
            raise
        finally:
            self._waiting.pop(message.number, None)

    def tell(self, message: Ask) -> None:
        """Send what has no answer, if there is a connection."""
        if self._frames is not None:
            self._frames.send(encode(message))

    def close(self) -> None:
        """Hang up, for good."""
        self._closed = True
        self.watchers.clear()
        if self._frames is not None:
            self._frames.close()

    def _received(self, header: bytes, payload: Payload) -> None:
        try:
            answer = read_answer(header)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            _log.error("the model process says what nobody understands: %s", error)
            if self._frames is not None:
                self._frames.close()
            return
        future = self._waiting.get(answer.number)
        if future is not None and not future.done():
            future.set_result((answer, payload))

    def _lost(self, frames: Frames) -> None:
        if self._frames is frames:
            self._frames = None
        self.breaks += 1
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(_ended())
        if self._closed:
            return
        for lost in list(self.watchers):
            lost()


def _ended() -> ProcessEnded:
    return ProcessEnded("the model process ended, and is being started again")
