"""Asks a second upstream when the first takes unusually long, and takes the first answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from embedway_gateway.layers.latency import Quantile
from embedway_gateway.layers.retry import Budget
from embedway_upstream import (
    EmbeddingError,
    EmbeddingRequest,
    EmbeddingResponse,
    InvalidRequest,
    Service,
)
from embedway_upstream.trail import Trail

__all__ = ["Hedge", "Hedging", "Outcome"]

Outcome: TypeAlias = Literal["won", "lost", "failed"]
"""Of the second request: it was first, it was not, or neither of the two had an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hedging:
    """
    When a second upstream is asked. Of queries, after the `quantile` of the latest answers (Dean
    and Barroso, The Tail at Scale: the 95th costs 5 % more calls). Documents are patient: after
    `patience` times as long, and not before `least` seconds, which is long enough to say that an
    upstream hangs. `least` holds for all while too few answers are known.
    """

    quantile: float = 0.95
    patience: float = 8.0
    least: float = 1.0
    equals: bool = True
    """Whether the second may be of the same priority. Where it is not, queries wait as documents
    do: a fallback is for what hangs."""


_HEDGING = Hedging()
# Of `least`: whoever had no room or budget then may have it so much later.
_AGAIN = 0.25


def _uncounted(_outcome: Outcome) -> None:
    """Nobody counts hedges."""


class Hedge:
    """
    Stands above Retry: both requests are tried again on their own, within the same budget, and
    what loses is hung up on. An upstream that is outrun again and again is a failed one. `spare`
    says whether another is well and has room.
    """

    def __init__(
        self,
        inner: Service[EmbeddingRequest, EmbeddingResponse],
        spare: Callable[[Trail], bool],
        budget: Budget,
        *,
        hedging: Hedging = _HEDGING,
        ended: Callable[[Outcome], None] = _uncounted,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._spare = spare
        self._budget = budget
        self._hedging = hedging
        self._ended = ended
        self._clock = clock
        self._seconds = {
            "query": Quantile(hedging.quantile),
            "document": Quantile(hedging.quantile),
        }

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """The first answer of at most two."""
        trail = Trail()
        begun = self._clock()
        delay = self._delay(request.input_type)
        may_run = self._may_run if delay < self._hedging.least else self._may_replace
        race = _Race(self._inner, replace(request, trail=trail), trail, may_run)
        race.arm(delay, again=max(delay, self._hedging.least * _AGAIN))
        try:
            response = await race.run()
        except EmbeddingError:
            if race.joined:
                self._ended("failed")
            raise
        if race.joined:
            self._ended("won" if race.won else "lost")
        # Of the one that answered: else what hangs would raise what it is measured by.
        took = self._clock() - begun - (race.waited if race.won else 0.0)
        self._seconds[request.input_type].add(max(0.0, took))
        return response

    def _delay(self, input_type: str) -> float:
        known = self._seconds[input_type].value
        if known is None:
            return self._hedging.least
        if input_type == "query" and self._hedging.equals:
            return known
        return max(self._hedging.least, known * self._hedging.patience)

    def _may_run(self, trail: Trail) -> bool:
        return self._spare(trail) and self._budget.take()

    def _may_replace(self, trail: Trail) -> bool:
        """What hangs is as good as failed, and another is well."""
        return self._spare(trail) and self._budget.take(elsewhere=True)


class _Race:
    """One request, and perhaps its double; the first runs in the caller's own task."""

    __slots__ = (
        "_again",
        "_first",
        "_inner",
        "_may_run",
        "_request",
        "_response",
        "_second",
        "_timer",
        "_trail",
        "waited",
    )

    def __init__(
        self,
        inner: Service[EmbeddingRequest, EmbeddingResponse],
        request: EmbeddingRequest,
        trail: Trail,
        may_run: Callable[[Trail], bool],
    ) -> None:
        self._inner = inner
        self._request = request
        self._trail = trail
        self._may_run = may_run
        self._first: asyncio.Task[object] | None = None
        """While it runs."""
        self._second: asyncio.Task[None] | None = None
        self._response: EmbeddingResponse | None = None
        """The second's."""
        self._timer: asyncio.TimerHandle | None = None
        self._again = 0.0
        self.waited = 0.0
        """Seconds until the second began."""

    @property
    def joined(self) -> bool:
        """Whether there was a second."""
        return self._second is not None

    @property
    def won(self) -> bool:
        """Whether it was the second that answered."""
        return self._response is not None

    def arm(self, delay: float, *, again: float) -> None:
        """Begin the second in so many seconds; where it may not run then, look `again` later."""
        self._again = again
        self.waited += delay
        self._timer = asyncio.get_running_loop().call_later(delay, self._join)

    def _join(self) -> None:
        if self._first is None:
            return
        if not self._may_run(self._trail):
            self.arm(self._again, again=self._again)
        else:
            self._second = asyncio.create_task(self._run_second())
            # Looked at, because nobody may be waiting for it any more.
            self._second.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def run(self) -> EmbeddingResponse:
        """The answer of whichever is first; an error only when there is none."""
        try:
            return await self._run_first()
        except EmbeddingError as error:
            # What is wrong with the request is so everywhere.
            if self._second is None or isinstance(error, InvalidRequest):
                raise
            with contextlib.suppress(EmbeddingError):
                await self._second
            if self._response is None:
                raise
            return self._response
        finally:
            if self._timer is not None:
                self._timer.cancel()
            if self._second is not None:
                self._second.cancel()

    async def _run_first(self) -> EmbeddingResponse:
        task = self._first = asyncio.current_task()
        assert task is not None
        stops = task.cancelling()
        try:
            response = await self._inner.send(self._request)
        except asyncio.CancelledError:
            # Ours is taken back; if somebody else asked too, that stays.
            if self._response is None or task.uncancel() > stops:
                raise
            return self._response
        except BaseException:
            if self._response is not None:
                task.uncancel()
            raise
        finally:
            self._first = None
        if self._response is not None:
            # It answered in the moment in which it was hung up on.
            task.uncancel()
        return response

    async def _run_second(self) -> None:
        response = await self._inner.send(self._request)
        self._response = response
        if self._first is not None:
            self._trail.outrun = True
            self._first.cancel()
