"""Sends a load to endpoints by turns, and measures from when each request was due."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from embedway_gateway.bench.load import Load, batches, parts
from embedway_gateway.bench.tally import Tally
from embedway_gateway.place.place import Place
from embedway_upstream import BadReply, EmbeddingError, EmbeddingResponse

__all__ = ["run"]

_LAST_BIT = 0.003

Advance = Callable[[int], None]


async def run(
    places: Sequence[Place],
    load: Load,
    tallies: Sequence[Tally],
    *,
    advance: Advance = lambda _count: None,
) -> None:
    """
    Fill the tallies, one a place. They are right at any moment, so that what was measured is not
    lost when this is cancelled.

    Raises the `EmbeddingError` of a place whose very first answer is none.
    """
    whole = batches(load)
    checks = [await _warm(place, load, whole) for place in places]
    for number, part in enumerate(parts(whole, load.rounds)):
        order = list(range(len(places)))
        # There and back again: what gets slower or faster meanwhile meets all alike.
        for index in order if number % 2 == 0 else reversed(order):
            lane = _Lane(places[index], load, tallies[index], checks[index], advance)
            # The same arrivals for all.
            await lane.run(part, random.Random(load.seed + number))  # noqa: S311


class _Check:
    """Whether answers can be right; knows the first one."""

    def __init__(self, texts: Sequence[str], response: EmbeddingResponse) -> None:
        self._text = texts[0]
        self._row: NDArray[np.float32] = response.vectors[0].copy()

    def require(self, texts: Sequence[str], response: EmbeddingResponse) -> None:
        """Number and finiteness are checked where the answer is read; raises `BadReply`."""
        vectors = response.vectors
        if vectors.shape != (len(texts), len(self._row)):
            raise BadReply(
                f"vectors of another size: {vectors.shape[1]} numbers, {len(self._row)} before"
            )
        if not np.isfinite(vectors).all():
            raise BadReply("a vector has numbers that are not finite")
        for text, row in zip(texts, vectors, strict=True):
            if text != self._text:
                if np.array_equal(row, self._row):
                    raise BadReply("different texts have the same vector")
                return


async def _warm(place: Place, load: Load, whole: Sequence[tuple[str, ...]]) -> _Check:
    # Texts of its own: an endpoint's cache shall not know those that are measured.
    first = tuple(f"warm {text}" for text in whole[0])
    check = _Check(first, await place.send(first))
    slots = asyncio.Semaphore(load.concurrency)

    async def one(number: int) -> None:
        async with slots:
            texts = tuple(f"warm {number} {text}" for text in whole[number % len(whole)])
            try:
                await place.send(texts)
            except EmbeddingError:
                # It will be counted where it is measured.
                return

    await asyncio.gather(*(one(number) for number in range(load.warm_up)))
    return check


async def _until(due: float) -> None:
    """Sleep; the last bit in a thread: the event loop's own timers are a millisecond late."""
    if (left := due - time.perf_counter() - _LAST_BIT) > 0:
        await asyncio.sleep(left)
    if (left := due - time.perf_counter()) > 0:
        await asyncio.to_thread(time.sleep, left)


class _Lane:
    """One endpoint for one round."""

    def __init__(
        self, place: Place, load: Load, tally: Tally, check: _Check, advance: Advance
    ) -> None:
        self._place = place
        self._load = load
        self._tally = tally
        self._check = check
        self._advance = advance

    async def run(self, part: Sequence[tuple[str, ...]], chance: random.Random) -> None:
        begun, busy = time.perf_counter(), time.process_time()
        slots = asyncio.Semaphore(self._load.concurrency)
        tasks: set[asyncio.Task[None]] = set()
        broken: list[BaseException] = []
        active, processor = self._tally.active, self._tally.processor

        def ended(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            slots.release()
            if not task.cancelled() and (error := task.exception()) is not None:
                broken.append(error)
            # After each, and not in the end: an interruption may come at any time.
            self._tally.active = active + time.perf_counter() - begun
            self._tally.processor = processor + time.process_time() - busy

        due = begun
        try:
            for texts in part:
                due = await self._turn(due, slots, chance)
                task = asyncio.create_task(self._one(texts, due))
                tasks.add(task)
                task.add_done_callback(ended)
                if broken:
                    break
            while tasks:
                await asyncio.wait(tasks)
            if broken:
                # No endpoint's error, which is counted, but one of ours.
                raise broken[0]
        finally:
            for task in tasks:
                task.cancel()

    async def _turn(self, due: float, slots: asyncio.Semaphore, chance: random.Random) -> float:
        """Wait until the next request may be sent; when it was due, which may be long ago."""
        if not self._load.is_open:
            await slots.acquire()
            return time.perf_counter()
        # The schedule does not wait for answers: that would hide how long callers wait.
        due += chance.expovariate(self._load.rate)
        left = due - time.perf_counter()
        if left > 0:
            await _until(due)
        if slots.locked():
            self._tally.waited += 1
            await slots.acquire()
        else:
            await slots.acquire()
            if left > 0:
                self._tally.late.append(max(time.perf_counter() - due, 0.0))
        return due

    async def _one(self, texts: tuple[str, ...], due: float) -> None:
        tally = self._tally
        try:
            response = await self._place.send(texts)
            took = time.perf_counter() - due
            self._check.require(texts, response)
        except EmbeddingError as error:
            tally.errors[f"{type(error).__name__}: {error.message}"] += 1
        else:
            tally.latencies.append(took)
            tally.texts += len(texts)
            tally.tokens += response.usage.prompt_tokens
            tally.estimated |= response.usage.estimated
        self._advance(1)
