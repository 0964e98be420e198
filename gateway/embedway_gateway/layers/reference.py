"""What defines a model's vector space, and who may."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass

from embedway_gateway.layers.agreement import agreement
from embedway_gateway.layers.canary import Canaries, Overdue, canary_vectors
from embedway_gateway.layers.mark import Mark, Spaces
from embedway_gateway.layers.verdict import Verdict
from embedway_gateway.precision import Precision, needed
from embedway_upstream import (
    EmbeddingError,
    EmbeddingRequest,
    EmbeddingResponse,
    Service,
    UpstreamFailed,
)

__all__ = ["FRESH", "Candidate", "Mark", "Outdated", "Reference"]

_log = logging.getLogger("embedway.gateway")

FRESH = 300.0
"""Seconds after which an upstream's canary vectors are asked for again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An upstream that may define the space."""

    name: str
    service: Service[EmbeddingRequest, EmbeddingResponse]
    precision: Precision = "fp32"
    lasting: bool = False
    """Whether it runs in this process, and so is not replaced under us."""
    measured: Callable[[], float | None] = lambda: None
    """The worst cosine of its model in its precision with fp32, where that was measured."""
    identity: str = ""
    """
    What tells a deployment that was found from all others, where nobody says which weights it has:
    another may be the first in another gateway. Of all candidates or of none.
    """


class Outdated(Exception):
    """Since these canary vectors were asked for, their upstream was seen to give others."""


class Reference:
    """
    The canary vectors that every upstream of a model is held against.

    The first candidate gives them. While it does not, for whatever reason, and nobody gave any
    yet, the next one does; the first takes its place back when it turns out to agree. Once there,
    they stay: that their upstream is down later changes nothing, but that it is seen to give
    others makes these the model's, and `mark` tells.
    """

    def __init__(
        self,
        model: str,
        candidates: Sequence[Candidate],
        *,
        least: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model = model
        self.mark = Mark(candidates[0].identity)
        self._spaces = Spaces()
        self._candidates = candidates
        self._least = least
        self._clock = clock
        self._lock = asyncio.Lock()
        self._holder: Candidate | None = None
        self._vectors: Canaries | None = None
        self._taken = 0.0
        self._looked = 0.0
        self._looking: asyncio.Task[None] | None = None
        self._overdue: dict[str, Overdue] = {}
        self._asked: dict[str, float] = {}

    @property
    def first(self) -> Candidate:
        """Who defines the space, unless it gives no vectors when that is first asked."""
        return self._candidates[0]

    @property
    def known(self) -> bool:
        """Whether there is anything to compare with."""
        return self._vectors is not None

    def inherit(self, other: Reference) -> None:
        """Go on with the space of the model's upstreams as they were before."""
        if other.known:
            self.mark, self._vectors = other.mark, other._vectors
            self._spaces.inherit(other._spaces)

    async def vectors(self) -> Canaries:
        """
        Those that every upstream is held against, which may be five minutes old.

        Raises an `EmbeddingError` while nobody has defined the space.
        """
        async with self._lock:
            await self._settle(None, {})
        await self._seen()
        assert self._vectors is not None
        return self._vectors

    async def ask(
        self, name: str, service: Service[EmbeddingRequest, EmbeddingResponse]
    ) -> Canaries:
        """The canary vectors of an upstream, for `judge`; without those that it came late with."""
        self._asked[name] = self._clock()
        return await self._ask(name, service)

    async def _ask(
        self, name: str, service: Service[EmbeddingRequest, EmbeddingResponse]
    ) -> Canaries:
        overdue = self._overdue.setdefault(name, Overdue(self._clock))
        return await canary_vectors(service, self.model, overdue)

    async def judge(
        self, name: str, precision: Precision, found: Canaries, measured: float | None = None
    ) -> Verdict:
        """
        Compare an upstream's canary vectors; those of the one that defines the space become the
        model's.

        That one may hang: who agrees with what it gave last does not wait until it is asked again,
        only who does not. Raises `UpstreamFailed` while nobody has defined the space, of the
        upstream that should, and `Outdated` where it is to be asked again.
        """
        verdict = await self._judge(name, precision, found, measured)
        if not verdict.same and await self._seen():
            verdict = await self._judge(name, precision, found, measured)
        return verdict

    async def _judge(
        self, name: str, precision: Precision, found: Canaries, measured: float | None
    ) -> Verdict:
        async with self._lock:
            await self._settle(name, found)
            assert self._holder is not None
            assert self._vectors is not None
            agreed = agreement(self._vectors, found)
            least = needed(
                self._holder.precision,
                precision,
                self._least,
                measured=(self._holder.measured(), measured),
            )
            if agreed.same(least):
                self._agreed(name, self._vectors)
            return Verdict(self._holder.name, agreed, least, self.mark)

    async def _settle(self, name: str | None, found: Canaries) -> None:
        """See to it that there are vectors; upstream `name` has found these just now."""
        if self._holder is None:
            await self._establish(name, found)
        elif name == self._holder.name:
            self._renew(self._holder, found, self._asked.get(self._holder.name, self._clock()))
        elif not self._holder.lasting and self._clock() - self._looked > FRESH:
            self._look(self._holder)

    async def _establish(self, name: str | None, found: Canaries) -> None:
        """By the first that gives them; where a space is inherited, that agrees with it."""
        differing: dict[str, Canaries] = {}
        silent: tuple[Candidate, EmbeddingError] | None = None
        # Who just gave its own does not wait for others, where it can be seen that they are right.
        known, self._taken = self._vectors, self._clock()
        order = sorted(self._candidates, key=lambda one: known is not None and one.name != name)
        for candidate in order:
            try:
                own = candidate.name == name
                vectors = found if own else await self._ask(candidate.name, candidate.service)
            except EmbeddingError as error:
                silent = silent or (candidate, error)
                continue
            if known is None or self._agree(candidate, known, vectors):
                self._define(candidate, known or vectors)
                return
            differing[candidate.name] = vectors
        if silent is not None:
            # What it would give nobody knows: one that differs does not take its place meanwhile.
            raise _missing(*silent, others=bool(differing)) from silent[1]
        self._change(self.first, differing[self.first.name])

    def _agreed(self, name: str, wanted: Canaries) -> None:
        assert self._holder is not None
        if name == self.first.name != self._holder.name:
            self._taken = self._asked.get(name, self._clock())
            self._define(self.first, wanted)
            return
        for candidate in self._candidates:
            if candidate.name == name and candidate.identity:
                self._spaces.number(candidate.identity)

    def _define(self, candidate: Candidate, vectors: Canaries) -> None:
        if not self.known and candidate is not self.first:
            _log.warning(
                "%s: upstream %r defines the vector space, because %r gives no vectors; state "
                "`reference:` to fix who does",
                *(self.model, candidate.name, self.first.name),
            )
        # Without a pause between: whoever looks sees all of the old or all of the new.
        self.mark = self._mark_by(candidate)
        self._holder, self._vectors, self._looked = candidate, vectors, self._clock()

    def _mark_by(self, candidate: Candidate) -> Mark:
        """Of the space that it defines, or goes on with."""
        if not candidate.identity:
            origin = self.mark.origin if self.known else candidate.name
            return Mark("" if candidate is self.first else origin, self.mark.changes)
        number = self._spaces.number(candidate.identity)
        # One that is gone is not stood in for any more: what it defined keeps its mark. Else the
        # first gives its own, so that all gateways come to show the same.
        there = any(one.identity == self.mark.origin for one in self._candidates)
        if self.known and not (there and candidate is self.first):
            return self.mark
        return Mark(candidate.identity, number)

    def _renew(self, holder: Candidate, found: Canaries, asked: float) -> None:
        assert self._vectors is not None
        self._looked = self._clock()
        if self._agree(holder, self._vectors, found):
            # The first stay, so that small steps do not add up; what was refused may come late.
            self._vectors = {**found, **self._vectors}
        elif asked < self._taken:
            # What was found meanwhile is of the model that is there now.
            raise Outdated
        else:
            self._change(holder, found)
        self._taken = max(self._taken, asked)

    def _change(self, candidate: Candidate, vectors: Canaries) -> None:
        _log.error("%s: upstream %r serves another model now", self.model, candidate.name)
        self._holder, self._vectors, self._looked = candidate, vectors, self._clock()
        self._spaces.change()
        self.mark = (
            Mark(candidate.identity, self._spaces.number(candidate.identity))
            if candidate.identity
            else Mark(self.mark.origin, self.mark.changes + 1)
        )

    def _look(self, holder: Candidate) -> None:
        """Ask it again, in a task of its own. Once in a while, whatever comes of it."""
        self._looked = self._clock()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._refresh(holder), context=Context())
            # Looked at, because nobody may be waiting for it.
            self._looking.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _seen(self) -> bool:
        """Wait until the holder was asked again, if it is being asked; whether it is."""
        if self._looking is None or self._looking.done():
            return False
        await asyncio.shield(self._looking)
        return True

    async def _refresh(self, holder: Candidate) -> None:
        asked = self._clock()
        try:
            found = await self._ask(holder.name, holder.service)
        except EmbeddingError as error:
            _log.info("%s: %r is not compared again: %s", self.model, holder.name, error.message)
            return
        # Another may have taken its place back meanwhile.
        if self._holder is holder:
            with contextlib.suppress(Outdated):
                self._renew(holder, found, asked)

    def _agree(self, candidate: Candidate, one: Canaries, other: Canaries) -> bool:
        least = needed(candidate.precision, candidate.precision, self._least)
        return agreement(one, other).same(least)


def _missing(silent: Candidate, error: EmbeddingError, *, others: bool) -> UpstreamFailed:
    """Nobody has the model's vectors; `others` gave other ones. Not the failure of those."""
    message = f"{silent.name!r}, which defines the vector space, does not answer"
    if others:
        message = (
            f"{silent.name!r}, which may have the model's vectors still, does not answer, and what "
            "answers has others; remove it from the model if it is gone for good"
        )
    return UpstreamFailed(message, upstream=silent.name, detail=error.detail or error.message)
