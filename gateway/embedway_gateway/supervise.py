"""Runs several worker processes on one listening socket, and replaces those that die."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import socket
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from types import FrameType

__all__ = ["supervise"]

_log = logging.getLogger("embedway.gateway")

# A worker that dies at once would otherwise be replaced in a tight loop.
_PAUSE = 1.0


def supervise(work: Callable[[socket.socket], None], listener: socket.socket, count: int) -> None:
    """
    Run `work(listener)` in `count` processes until SIGTERM or SIGINT, which is passed on to them;
    returns when all have finished. `work` must be picklable.
    """
    # Spawned, not forked: threads and event loops do not survive a fork.
    context = multiprocessing.get_context("spawn")

    def start() -> SpawnProcess:
        process = context.Process(target=work, args=(listener,), name="embedway-worker")
        process.start()
        return process

    stopping = False

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        for process in workers:
            if process.is_alive() and process.pid is not None:
                process.terminate()

    workers = [start() for _ in range(count)]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    while alive := [process for process in workers if process.is_alive()]:
        wait([process.sentinel for process in alive], timeout=1.0)
        if stopping:
            continue
        for place, process in enumerate(workers):
            if not process.is_alive():
                _log.error("a worker ended with exit code %s; starting another", process.exitcode)
                time.sleep(_PAUSE)
                workers[place] = start()
