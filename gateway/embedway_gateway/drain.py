"""Ends a server without losing what was begun, and takes news in while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Iterator, Mapping

import uvicorn

from embedway_gateway.reload import FromFile, FromSupervisor, Orphaned
from embedway_gateway.web.app import Gateway

__all__ = ["DrainingServer"]

_log = logging.getLogger("embedway.gateway")

_GLANCE = 0.02


class DrainingServer(uvicorn.Server):
    """
    On SIGTERM /readyz says no, and for `server.drain_delay` everything is still served; then new
    requests get 503 while those begun are finished, streams too, up to the grace period. uvicorn's
    own way is to raise the signal again, which is no exit code 0.

    `source` tells of new configurations; without any, SIGHUP is another SIGTERM.
    """

    def __init__(
        self,
        options: uvicorn.Config,
        gateway: Gateway,
        source: FromFile | FromSupervisor | None,
    ) -> None:
        super().__init__(options)
        self._gateway = gateway
        self._source = source
        self._stopping: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        orders = self._orders()
        for number, order in orders.items():
            loop.add_signal_handler(number, order)
        try:
            yield
        finally:
            for number in orders:
                loop.remove_signal_handler(number)

    async def main_loop(self) -> None:
        """Until it is to end."""
        following = asyncio.create_task(self._follow())
        try:
            await super().main_loop()
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    def _orders(self) -> Mapping[signal.Signals, Callable[[], None]]:
        if isinstance(self._source, FromSupervisor):
            # The others reach a whole process group, but are for the supervisor.
            return {signal.SIGTERM: self._stop}
        asked = self._stop if self._source is None else self._source.ask
        return {signal.SIGTERM: self._stop, signal.SIGINT: self._stop, signal.SIGHUP: asked}

    async def _follow(self) -> None:
        if self._source is None:
            return
        try:
            while True:
                await self._gateway.take(await self._source.next())
        except Orphaned:
            _log.error("the supervisor is gone")
            if self._stopping is None:
                self._stop()

    def _stop(self) -> None:
        if self._stopping is not None:
            # Asked twice: go now.
            self.should_exit = self.force_exit = True
            return
        self._gateway.leaving = True
        self._stopping = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        server = self._gateway.config.server
        if server.drain_delay:
            _log.info("stopping: serving for another %g s", server.drain_delay)
            await asyncio.sleep(server.drain_delay)
        self._gateway.draining = True
        _log.info("stopping: finishing what was begun")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(server.grace):
                await self._gateway.idle.wait()
                # Given is not taken: what a client has not read yet would be cut off with its
                # connection. Nobody tells when it has.
                while self._unread():  # noqa: ASYNC110
                    await asyncio.sleep(_GLANCE)
        self.should_exit = True

    def _unread(self) -> bool:
        """Whether an answer, or a part of one, still waits for its client to read."""
        return any(one.transport.get_write_buffer_size() for one in self.server_state.connections)
