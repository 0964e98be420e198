"""Waits for new configurations: from the file itself, or from the supervisor that watches it."""

from __future__ import annotations

import asyncio
import contextlib
from multiprocessing.connection import Connection
from typing import Protocol

from embedway_gateway.config.watch import News, Watch

__all__ = ["FromFile", "FromSupervisor", "Orphaned", "Paper"]


class Orphaned(Exception):
    """The supervisor is gone."""


class Paper(Protocol):
    """Where news come from."""

    async def next(self) -> News:
        """The next one, waiting for it. Raises `Orphaned`."""
        ...


class FromFile:
    """Looks at the file at its interval, and whenever `ask` was called."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Read it now, whether it changed or not."""
        self._asked.set()

    async def next(self) -> News:
        """Until there is something new."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._watch.every):
                    await self._asked.wait()
            asked = self._asked.is_set()
            self._asked.clear()
            # In a thread: to read a long file takes longer than a request.
            news = await asyncio.to_thread(self._watch.look, asked=asked)
            if news is not None:
                return news


class FromSupervisor:
    """What the supervisor sends; of several only the last counts."""

    def __init__(self, line: Connection) -> None:
        self._line = line

    async def next(self) -> News:
        """Until the supervisor sends some, or ends."""
        await self._readable()
        try:
            news = self._received()
            while self._line.poll():
                news = self._received()
        except (EOFError, OSError):
            raise Orphaned from None
        return news

    def _received(self) -> News:
        news = self._line.recv()
        assert isinstance(news, News)
        return news

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self._line.fileno(), ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._line.fileno())
