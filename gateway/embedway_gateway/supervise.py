"""Runs several worker processes on one listening socket, and replaces those that die."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType

from prometheus_client.multiprocess import mark_process_dead

from embedway_gateway.access.file import KeysError
from embedway_gateway.access.watch import KeysWatch
from embedway_gateway.config.schema import Config
from embedway_gateway.config.watch import News, Watch
from embedway_gateway.model_process.keeper import Keeper

__all__ = ["Patience", "Work", "WorkersFail", "supervise"]

_log = logging.getLogger("embedway.gateway")

# How soon a signal is noticed.
_GLANCE = 0.2

# With the configuration, the listener and the line, and `keys=` where keys are asked for.
Work = Callable[..., None]


class WorkersFail(Exception):
    """Workers end as soon as they are started."""


@dataclass(frozen=True, slots=True)
class Patience:
    """With workers that die; times are in seconds."""

    first: float = 1.0
    """The pause before one is replaced; it doubles while they die early."""
    early: float = 10.0
    """One that lived longer was no failure of its start."""
    tries: int = 5
    """So many early deaths in a row end it all."""


@dataclass(frozen=True, slots=True)
class _Worker:
    process: SpawnProcess
    line: Connection
    """It is sent news here; its end tells the worker that the supervisor is gone."""
    started: float


def supervise(
    work: Work,
    config: Config,
    listener: socket.socket,
    count: int,
    *,
    watch: Watch | None = None,
    patience: Patience = Patience(),
    keeper: Keeper | None = None,
    keys: KeysWatch | None = None,
) -> None:
    """
    Run `work(config, listener, line)` in `count` processes until SIGTERM or SIGINT, which is
    passed on to them; returns when all have finished. `work` must be picklable. What `watch` finds
    is sent to all of them, over `line`; SIGHUP asks it, and without it ends them. `keeper` keeps
    a process beside them, which ends after the last of them. With `keys`, each is also given
    `keys=`, what the file of keys held when it was last good: a worker that dies while it is not
    must not end the gateway.

    Raises `WorkersFail` after too many died early.
    """
    crew = _Crew(work, config, listener, count, patience, keys=keys)
    orders = _Orders()
    look = time.monotonic()
    try:
        while orders.stops == 0:
            if keeper is not None:
                keeper.look(crew.config)
            crew.fill()
            wait([*crew.sentinels, *(keeper.sentinels if keeper else ())], timeout=_GLANCE)
            crew.look_at_keys()
            crew.bury()
            asked, orders.asked = orders.asked, False
            if watch is None:
                orders.stops += asked
            elif asked or (watch.every is not None and time.monotonic() - look > watch.every):
                look = time.monotonic()
                crew.tell(watch.look(asked=asked))
    finally:
        crew.end(orders)
        if keeper is not None:
            keeper.end()


class _Orders:
    """What signals asked for. Only noted: a worker may be half started at this very moment."""

    def __init__(self) -> None:
        self.stops = 0
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, self._ask)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stops += 1

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


class _Crew:
    """The workers, and the configuration that new ones start with: the last good one."""

    def __init__(
        self,
        work: Work,
        config: Config,
        listener: socket.socket,
        count: int,
        patience: Patience,
        *,
        keys: KeysWatch | None,
    ) -> None:
        # Spawned, not forked: threads and event loops do not survive a fork.
        self._context = multiprocessing.get_context("spawn")
        self._work = work
        self.config = config
        self._listener = listener
        self._count = count
        self._patience = patience
        self._keys = keys
        self._early = 0
        self._died_at = 0.0
        self._again_at = 0.0
        self.workers: list[_Worker] = []

    @property
    def sentinels(self) -> list[int]:
        """What tells that one died."""
        return [one.process.sentinel for one in self.workers]

    def fill(self) -> None:
        """Start those that are missing, unless the last ones died a moment ago."""
        while len(self.workers) < self._count and time.monotonic() >= self._again_at:
            self.workers.append(self._started())

    def _started(self) -> _Worker:
        theirs, ours = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=self._work,
            args=(self.config, self._listener, theirs),
            kwargs={} if self._keys is None else {"keys": self._keys.good},
            name="embedway-worker",
        )
        # They reach the whole process group from a terminal, but are for the supervisor alone.
        # A worker starts with them blocked, until it ignores them.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGHUP})
        theirs.close()
        return _Worker(process, ours, time.monotonic())

    def look_at_keys(self) -> None:
        """
        Oftener than workers do: nothing that one of them took over, as that a key was revoked, may
        be missing from what its successor is given.
        """
        if self._keys is None:
            return
        # They tell of it themselves.
        with contextlib.suppress(KeysError):
            self._keys.look()

    def bury(self) -> None:
        """Take leave of the dead. Raises `WorkersFail`."""
        now = time.monotonic()
        for worker in self.workers:
            lived = now - worker.started > self._patience.early and worker.process.is_alive()
            if lived and worker.started > self._died_at:
                self._early = 0
        for worker in [one for one in self.workers if not one.process.is_alive()]:
            self.workers.remove(worker)
            worker.line.close()
            assert worker.process.pid is not None
            # What it had begun has ended with it.
            mark_process_dead(worker.process.pid)  # type: ignore[no-untyped-call]
            self._mourn(worker.process.exitcode, early=now - worker.started <= self._patience.early)

    def _mourn(self, code: int | None, *, early: bool) -> None:
        self._early = self._early + 1 if early else 0
        if self._early >= self._patience.tries:
            raise WorkersFail(
                f"{self._early} workers in a row ended within {self._patience.early:g} seconds of "
                f"their start, the last with exit code {code}; what they logged above says why"
            )
        pause = self._patience.first * 2 ** max(self._early - 1, 0)
        self._died_at = time.monotonic()
        self._again_at = self._died_at + pause
        _log.error("a worker ended with exit code %s; starting another in %g s", code, pause)

    def tell(self, news: News | None) -> None:
        """Send it to all, and start the next ones with it."""
        if news is None:
            return
        if news.config is not None:
            self.config = news.config
        for worker in self.workers:
            # One that just died is replaced soon.
            with contextlib.suppress(OSError):
                worker.line.send(news)

    def end(self, orders: _Orders) -> None:
        """Let all finish; each further order to stop is passed on."""
        passed = -1
        while alive := [one for one in self.workers if one.process.is_alive()]:
            if orders.stops != passed:
                passed = orders.stops
                for worker in alive:
                    worker.process.terminate()
            wait([one.process.sentinel for one in alive], timeout=_GLANCE)
