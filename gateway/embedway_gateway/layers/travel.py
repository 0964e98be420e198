"""Sees which requests travel together, how long they wait for it, and whose traces a call is in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextvars import Context, ContextVar, copy_context
from typing import Protocol

from embedway_gateway.layers.flight import Caller, Text
from embedway_gateway.metric import Metrics
from embedway_gateway.phase import Sampled, Waited

__all__ = ["COMPANY", "Onlooker", "Travel", "Unseen"]

COMPANY: ContextVar[tuple[Context, ...]] = ContextVar("COMPANY", default=())
"""Within a call: the contexts of the requests that it carries beside the first."""

_GATHERED_SECONDS = 0.25
# A trace with more links than that shows nothing.
_MOST_COMPANY = 32


class Onlooker(Protocol):
    """Told by Coalesce what it does."""

    def at_once(self, now: float) -> None:
        """A request left alone, without having waited."""
        ...

    def enters(self, caller: Caller, now: float) -> None:
        """A request waits from now on."""
        ...

    def boards(self, texts: Iterable[Text], now: float) -> Context | None:
        """A call begins with these; the context to run it in, None for the present one."""
        ...

    def ends(self, caller: Caller, now: float) -> None:
        """A request that had to wait has its answer, or gave up."""
        ...


class Unseen:
    """Nobody looks."""

    def at_once(self, now: float) -> None:
        """Nothing."""

    def enters(self, caller: Caller, now: float) -> None:
        """Nothing."""

    def boards(self, texts: Iterable[Text], now: float) -> Context | None:
        """Nothing."""

    def ends(self, caller: Caller, now: float) -> None:
        """Nothing."""


class Travel:
    """
    Of one model. Its counters are told a quarter of a second late at most, of all that came
    meanwhile. `signed` is whether a call costs a signature; `traced` is told in the context of the
    request that waited.
    """

    def __init__(
        self,
        metrics: Metrics,
        model: str,
        *,
        queue: Sampled,
        signed: bool,
        traced: Waited | None = None,
    ) -> None:
        self._counters = (
            metrics.coalesced_requests.labels(model),
            metrics.coalesced_calls.labels(model),
            metrics.signatures_saved.labels(model),
        )
        self._queue = queue
        self._signed = signed
        self._traced = traced
        self._requests = self._calls = self._saved = 0
        self._waiting = False

    def at_once(self, now: float) -> None:
        """A request left alone, without having waited."""
        self._queue.took(now, now)
        self._requests += 1
        self._calls += 1
        if not self._waiting:
            self._tell_later()

    def spared(self) -> None:
        """A request that the cache answered."""
        self._saved += self._signed
        self._tell_later()

    def enters(self, caller: Caller, now: float) -> None:
        """A request waits from now on."""
        caller.entered = now
        if self._traced is not None:
            caller.context = copy_context()

    def boards(self, texts: Iterable[Text], now: float) -> Context | None:
        """A call begins with these; the context to run it in, None for the present one."""
        callers = dict.fromkeys(caller for text in texts for caller, _ in text.places)
        fresh = 0
        for caller in callers:
            if caller.boarded is None:
                caller.boarded = now
                fresh += 1
        self._calls += 1
        self._count(fresh, saved=max(0, fresh - 1))
        contexts = [caller.context for caller in callers if caller.context is not None]
        if not contexts:
            return None
        # A copy, because several calls may be of one request, and each runs in a task of its own.
        own = contexts[0].copy()
        own.run(COMPANY.set, tuple(contexts[1 : 1 + _MOST_COMPANY]))
        return own

    def ends(self, caller: Caller, now: float) -> None:
        """A request that had to wait has its answer, or gave up."""
        entered, boarded, answer = caller.entered, caller.boarded, caller.answer
        if boarded is None:
            served = answer.done() and not answer.cancelled() and answer.exception() is None
            # Its texts were under way for others already.
            boarded = entered if served else now
            self._count(int(served), saved=int(served))
        self._queue.took(entered, boarded)
        if self._traced is not None and boarded > entered:
            self._traced(entered, boarded)

    def _count(self, requests: int, *, saved: int) -> None:
        self._requests += requests
        if self._signed:
            self._saved += saved
        self._tell_later()

    def _tell_later(self) -> None:
        if not self._waiting:
            self._waiting = True
            asyncio.get_running_loop().call_later(_GATHERED_SECONDS, self._tell)

    def _tell(self) -> None:
        amounts = self._requests, self._calls, self._saved
        self._requests = self._calls = self._saved = 0
        self._waiting = False
        for counter, amount in zip(self._counters, amounts, strict=True):
            if amount:
                counter.inc(amount)
