"""
One httpx.AsyncClient for each event loop, closed when its loop ends.

Connections belong to the loop that opened them, and users call `asyncio.run` again and again
without ever closing anything. So each client is kept by an asynchronous generator that waits in
the loop: `asyncio.run` finishes such generators before it closes the loop (PEP 525), and that
closes the client while it still can be.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import httpx

__all__ = ["LoopClients"]

# Long enough for a loop that is ending to finish the generator itself.
_SOON = 0.1

_Keeper: TypeAlias = AsyncGenerator[None, None]


@dataclass(frozen=True, slots=True)
class _Kept:
    client: httpx.AsyncClient
    keeper: _Keeper
    orphaned: weakref.finalize[[asyncio.AbstractEventLoop, _Keeper], LoopClients]


class LoopClients:
    """Opens a client for a loop when it first asks."""

    def __init__(self, open_: Callable[[], httpx.AsyncClient]) -> None:
        self._open = open_
        self._kept: dict[asyncio.AbstractEventLoop, _Kept] = {}

    async def client(self) -> httpx.AsyncClient:
        """The running loop's client."""
        loop = asyncio.get_running_loop()
        kept = self._kept.get(loop)
        if kept is None:
            self._forget_closed()
            client = self._open()
            keeper = _keep(client, self._kept, loop)
            # The registry of finalizers is what holds the keeper when this object is gone.
            kept = _Kept(client, keeper, weakref.finalize(self, _close_soon, loop, keeper))
            kept.orphaned.atexit = False
            self._kept[loop] = kept
            await anext(keeper)
        return kept.client

    def close(self) -> None:
        """Ask each loop to close its client soon."""
        for kept in list(self._kept.values()):
            kept.orphaned()

    async def aclose(self) -> None:
        """Close the running loop's client now, and ask the other loops to."""
        kept = self._kept.get(asyncio.get_running_loop())
        if kept is not None:
            await kept.keeper.aclose()
        self.close()

    def _forget_closed(self) -> None:
        """Drop what belongs to loops that were closed without finishing their generators."""
        for loop, kept in list(self._kept.items()):
            if loop.is_closed():
                kept.orphaned.detach()
                del self._kept[loop]


async def _keep(
    client: httpx.AsyncClient,
    all_kept: dict[asyncio.AbstractEventLoop, _Kept],
    loop: asyncio.AbstractEventLoop,
) -> _Keeper:
    try:
        yield
    finally:
        kept = all_kept.pop(loop, None)
        if kept is not None:
            kept.orphaned.detach()
        await client.aclose()


def _close_soon(loop: asyncio.AbstractEventLoop, keeper: _Keeper) -> None:
    # Closed between the question and the call: then nothing is left to close.
    with contextlib.suppress(RuntimeError):
        if not loop.is_closed():
            loop.call_soon_threadsafe(loop.call_later, _SOON, _close_now, loop, keeper)


def _close_now(loop: asyncio.AbstractEventLoop, keeper: _Keeper) -> None:
    async def close() -> None:
        await keeper.aclose()

    # Whether closing succeeds interests nobody any more, but it must be looked at.
    loop.create_task(close()).add_done_callback(lambda task: task.cancelled() or task.exception())
