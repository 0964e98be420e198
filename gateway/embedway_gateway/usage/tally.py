"""Adds up what is used, and writes it down now and then."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable

from embedway_gateway.metric import Metrics
from embedway_gateway.usage.book import Book, BookUnavailable
from embedway_gateway.usage.row import COUNTS, Row, iso_day

__all__ = ["Tally"]

_log = logging.getLogger("embedway.gateway")

# What a process that is killed had not written down yet.
_SECONDS = 1.0
# Rows that wait while nothing can be written: with 50 callers and 10 models, 20 days.
_MOST = 10_000
_DAY = 86400


class Tally:
    """
    Sums of one process. What could not be written is kept and written later, as the very same
    batch, so that nothing is counted twice.
    """

    def __init__(
        self,
        book: Book,
        metrics: Metrics,
        *,
        every: float = _SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.book = book
        self._metrics = metrics
        self._every = every
        self._clock = clock
        self._sums: dict[tuple[int, str, str], list[int]] = {}
        self._batch: tuple[str, list[Row]] | None = None
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._failing = False
        self._prepared = False

    def add(
        self,
        key: str,
        model: str,
        *,
        requests: int = 1,
        texts: int = 0,
        tokens: int = 0,
        errors: int = 0,
        cached: int = 0,
        limited: int = 0,
    ) -> None:
        """Count it."""
        place = (int(self._clock()) // _DAY, key, model)
        sums = self._sums.get(place)
        if sums is None:
            if len(self._sums) >= _MOST:
                self._metrics.usage_dropped.inc()
                return
            sums = self._sums[place] = [0] * len(COUNTS)
        sums[0] += requests
        sums[1] += texts
        sums[2] += tokens
        sums[3] += errors
        sums[4] += cached
        sums[5] += limited

    async def write(self) -> None:
        """Write down what there is. Raises `BookUnavailable`, and then it is kept."""
        # Shielded: of a batch that was left half written nobody knows whether it counts.
        await asyncio.shield(self._write())

    async def _write(self) -> None:
        async with self._writing:
            if not self._prepared:
                await self.book.prepare()
                self._prepared = True
            while self._batch is not None or self._sums:
                if self._batch is None:
                    sums, self._sums = self._sums, {}
                    rows = [
                        Row(iso_day(day), key, model, *counts)
                        for (day, key, model), counts in sums.items()
                    ]
                    self._batch = (secrets.token_hex(12), rows)
                name, rows = self._batch
                await self.book.add(rows, batch=name)
                self._batch = None

    def start(self) -> None:
        """Begin to write at its interval."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Write down what is left."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._tried()
        await self.book.close()

    async def _run(self) -> None:
        while True:
            # At once: a place that cannot be written is told at the start.
            await self._tried()
            await asyncio.sleep(self._every)

    async def _tried(self) -> None:
        # Shielded: what comes of it must be noted.
        with contextlib.suppress(BookUnavailable):
            await asyncio.shield(self._noted())

    async def _noted(self) -> None:
        try:
            await self.write()
        except BookUnavailable as error:
            self._metrics.usage_errors.inc()
            if not self._failing:
                _log.error("usage cannot be written down, and is kept in memory: %s", error)
            self._failing = True
            return
        if self._failing:
            _log.info("usage is written down again")
        self._failing = False
