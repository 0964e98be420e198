"""The model process itself: listens for workers until they are gone and it is told to end."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import prometheus_client

from embedway_gateway.log import set_up_logging
from embedway_gateway.metric import Metrics
from embedway_gateway.model_process.caller import Caller
from embedway_gateway.model_process.frame import Frames
from embedway_gateway.model_process.held import Held

__all__ = ["Orders", "run"]

_log = logging.getLogger("embedway.gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What the supervisor tells it at its start."""

    log: Literal["auto", "json", "text"]
    patience: float
    """Seconds that workers have, at its end, to finish what they began."""


def run(orders: Orders, listener: socket.socket, line: Connection) -> None:
    """Until SIGTERM, or the end of whoever holds the other end of `line`."""
    set_up_logging(orders.log)
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # Blocked by the supervisor until now.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGHUP})
    asyncio.run(_Process(orders, listener, line).serve())


class _Process:
    """
    Ends when it was told to and the last worker has hung up: those that are told at the same time,
    as by systemd, still finish what they began.
    """

    def __init__(self, orders: Orders, listener: socket.socket, line: Connection) -> None:
        self._orders = orders
        self._listener = listener
        self._line = line
        self._metrics = Metrics()
        self._held = Held(self._metrics.local_models)
        self._callers: set[Caller] = set()
        self._told = asyncio.Event()
        self._alone = asyncio.Event()
        self._alone.set()
        self._orphaned = False

    async def serve(self) -> None:
        """Until it has ended; it does not return."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._told.set)
        loop.add_reader(self._line.fileno(), self._orphan)
        await loop.create_unix_server(self._called, sock=self._listener)
        self._metrics.local_starts.inc()
        _log.info("the model process serves the workers")
        await self._told.wait()
        try:
            async with asyncio.timeout(self._orders.patience):
                await self._alone.wait()
        except TimeoutError:
            _log.warning("the model process ends although workers still use it")
        if self._orphaned:
            # Nobody is left who would.
            path = Path(self._listener.getsockname())
            await asyncio.to_thread(shutil.rmtree, path.parent, ignore_errors=True)
        logging.shutdown()
        # A thread may be loading, or in the middle of a batch, which nobody waits for.
        os._exit(0)

    def _orphan(self) -> None:
        asyncio.get_running_loop().remove_reader(self._line.fileno())
        _log.error("the supervisor is gone")
        self._orphaned = True
        self._told.set()

    def _called(self) -> Frames:
        caller = Caller(self._held, self._metrics, ended=self._left)
        self._callers.add(caller)
        self._alone.clear()
        return caller.frames

    def _left(self, caller: Caller) -> None:
        self._callers.discard(caller)
        if not self._callers:
            self._alone.set()
