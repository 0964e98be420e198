"""Keeps the model process running beside the workers, while a configuration needs one."""

from __future__ import annotations

import logging
import multiprocessing
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from prometheus_client.multiprocess import mark_process_dead

from embedway_gateway.config.schema import Config
from embedway_gateway.model_process.run import Orders, run

__all__ = ["Keeper", "NoSocket", "keeping"]

_log = logging.getLogger("embedway.gateway")

_BACKLOG = 128
# Beyond the time that workers have: what a process needs to end that nothing holds up.
_MARGIN = 5.0


class NoSocket(Exception):
    """The workers' socket cannot be made."""


@dataclass(slots=True)
class _Running:
    process: SpawnProcess
    line: Connection
    """Nothing is sent; its end tells the process that the supervisor is gone."""
    started: float


class Keeper:
    """
    Starts the process with the first configuration that has a local model, and again when it died:
    after `first` seconds, twice as long each time that it lived for less than `early`, at most
    `longest`. It is never given up: what has no local model goes on without it.

    The socket is the supervisor's, so that workers reach each process under one address.
    """

    def __init__(
        self,
        listener: socket.socket,
        *,
        first: float = 0.5,
        early: float = 10.0,
        longest: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listener = listener
        self._first = first
        self._early = early
        self._longest = longest
        self._clock = clock
        self._context = multiprocessing.get_context("spawn")
        self._running: _Running | None = None
        self._deaths = 0
        self._again_at = 0.0

    @property
    def sentinels(self) -> list[int]:
        """What tells that it died."""
        return [] if self._running is None else [self._running.process.sentinel]

    def look(self, config: Config) -> None:
        """Take leave of it where it died, and start it where it is needed."""
        if self._running is not None and not self._running.process.is_alive():
            self._mourn(self._running)
            self._running = None
        if self._running is None and _is_needed(config) and self._clock() >= self._again_at:
            self._running = self._started(config)

    def end(self) -> None:
        """End it, after the workers."""
        if self._running is None:
            return
        process, line = self._running.process, self._running.line
        process.terminate()
        process.join(_MARGIN)
        if process.is_alive():
            process.kill()
            process.join()
        line.close()
        self._running = None

    def _started(self, config: Config) -> _Running:
        server = config.server
        orders = Orders(log=server.log, patience=server.drain_delay + server.grace + _MARGIN)
        theirs, ours = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=run, args=(orders, self._listener, theirs), name="embedway-models"
        )
        # As for workers: from a terminal they reach the whole process group.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGHUP})
        theirs.close()
        return _Running(process, ours, self._clock())

    def _mourn(self, running: _Running) -> None:
        now = self._clock()
        self._deaths = self._deaths + 1 if now - running.started <= self._early else 1
        pause = min(self._longest, self._first * 2 ** min(self._deaths - 1, 16))
        self._again_at = now + pause
        running.line.close()
        assert running.process.pid is not None
        # What it had begun has ended with it.
        mark_process_dead(running.process.pid)  # type: ignore[no-untyped-call]
        _log.error(
            "the model process ended with exit code %s; starting another in %g s",
            *(running.process.exitcode, pause),
        )


@contextmanager
def keeping() -> Iterator[tuple[Keeper, str]]:
    """A keeper, and the path of its socket, in a folder that only this user may enter."""
    folder = tempfile.mkdtemp(prefix="embedway-models-")
    path = str(Path(folder) / "socket")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            listener.bind(path)
            listener.listen(_BACKLOG)
        except OSError as error:
            raise NoSocket(
                f"the workers' socket cannot be made in {folder} ({error}); set TMPDIR to a folder "
                "with a shorter path that can be written to"
            ) from error
        yield Keeper(listener), path
    finally:
        listener.close()
        shutil.rmtree(folder, ignore_errors=True)


def _is_needed(config: Config) -> bool:
    return any(one.engine == "local" for model in config.models for one in model.upstreams)
