"""Runs jobs on as many threads as there are cores, whoever and however many ask."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["Workers"]


class Workers:
    """
    Threads shared by all callers, made on first use, and again in a forked child, which has none.

    There is no lock in it, because a lock that is held while another thread forks stays locked in
    the child for ever.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._pools: dict[int, ThreadPoolExecutor] = {}
        self._calls: set[object] = set()
        self._closed = False

    @property
    def busy(self) -> bool:
        """Is any call under way? In a forked child: was any when it was forked?"""
        return bool(self._calls)

    def each(self, jobs: Iterable[Callable[[], None]]) -> None:
        """
        Run all jobs; the first error is raised and drops the jobs that have not begun.

        A call has only a few jobs queued at a time, so that one with few does not wait behind all
        of one with many. `jobs` is drawn from in the caller's thread.
        """
        pool = self._pool()
        call = object()
        self._calls.add(call)
        running: deque[Future[None]] = deque()
        try:
            for job in jobs:
                running.append(pool.submit(job))
                # One more than can run, so that no worker waits for us to queue the next.
                if len(running) > self._count:
                    running.popleft().result()
            while running:
                running.popleft().result()
        finally:
            for future in running:
                future.cancel()
            self._calls.discard(call)

    def alone(self, job: Callable[[], None]) -> bool:
        """Run the job in the caller's thread if no other call is under way; was it run?"""
        self._require_open()
        call = object()
        self._calls.add(call)
        try:
            if len(self._calls) > 1:
                return False
            job()
        finally:
            self._calls.discard(call)
        return True

    def close(self) -> None:
        """Finish what runs and stop; later calls raise `RuntimeError`."""
        self._closed = True
        pool = self._pools.pop(os.getpid(), None)
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def _pool(self) -> ThreadPoolExecutor:
        self._require_open()
        pid = os.getpid()
        pool = self._pools.get(pid)
        if pool is None:
            # Atomic: of two threads here at once, one's pool stays and the other's never starts.
            pool = self._pools.setdefault(pid, ThreadPoolExecutor(self._count, "embedway-local"))
        return pool

    def _require_open(self) -> None:
        if self._closed:
            raise RuntimeError("this LocalEmbedder is closed")
