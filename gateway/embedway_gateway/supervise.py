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
# How soon a signal is noticed.
_GLANCE = 0.2


def supervise(work: Callable[[socket.socket], None], listener: socket.socket, count: int) -> None:
    """
    Run `work(listener)` in `count` processes until SIGTERM or SIGINT, which is passed on to them;
    returns when all have finished. `work` must be picklable.
    """
    # Spawned, not forked: threads and event loops do not survive a fork.
    context = multiprocessing.get_context("spawn")
    stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        # Only noted: a worker may be half started at this very moment.
        nonlocal stopping
        stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    workers: list[SpawnProcess] = []
    while not stopping:
        workers = [process for process in workers if _lives(process)]
        while len(workers) < count:
            process = context.Process(target=work, args=(listener,), name="embedway-worker")
            process.start()
            workers.append(process)
        wait([process.sentinel for process in workers], timeout=_GLANCE)
    for process in workers:
        process.terminate()
    for process in workers:
        process.join()


def _lives(process: SpawnProcess) -> bool:
    if process.is_alive():
        return True
    _log.error("a worker ended with exit code %s; starting another", process.exitcode)
    time.sleep(_PAUSE)
    return False
