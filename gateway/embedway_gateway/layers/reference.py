"""What defines a model's vector space, and who may."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from embedway_gateway.layers.agreement import Agreement, agreement, meaning
from embedway_gateway.layers.canary import Canaries, Overdue, canary_vectors
from embedway_gateway.layers.mark import Mark, Spaces
from embedway_gateway.precision import Precision, needed
from embedway_upstream import (
    EmbeddingError,
    EmbeddingRequest,
    EmbeddingResponse,
    Service,
    UpstreamFailed,
)

__all__ = ["FRESH", "Candidate", "Mark", "Reference", "Verdict"]

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


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of comparing an upstream with the reference."""

    reference: str
    found: Agreement
    least: float
    mark: Mark
    """Of the space that it was compared with."""

    @property
    def same(self) -> bool:
        """Whether the upstream is in the space."""
        return self.found.worst >= self.least

    @property
    def reason(self) -> str:
        """Why it is not, as a sentence; empty where it is."""
        if self.same:
            return ""
        return (
            f"its vectors differ from those of {self.reference!r}: cosine {self.found.worst:.4f}, "
            f"at least {self.least} is needed; {meaning(self.found, self.least)}"
        )


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
        self._overdue: dict[str, Overdue] = {}

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
            return await self._current(None, {})

    async def ask(
        self, name: str, service: Service[EmbeddingRequest, EmbeddingResponse]
    ) -> Canaries:
        """The canary vectors of an upstream, without those that it lately had no time for."""
        overdue = self._overdue.setdefault(name, Overdue(self._clock))
        return await canary_vectors(service, self.model, overdue)

    async def judge(
        self, name: str, precision: Precision, found: Canaries, measured: float | None = None
    ) -> Verdict:
        """
        Compare an upstream's canary vectors; those of the one that defines the space become the
        model's.

        Raises `UpstreamFailed` while nobody has defined the space.
        """
        async with self._lock:
            wanted = await self._current(name, found)
            assert self._holder is not None
            agreed = agreement(wanted, found)
            least = needed(
                self._holder.precision,
                precision,
                self._least,
                measured=(self._holder.measured(), measured),
            )
            if agreed.worst >= least:
                self._agreed(name, wanted)
            return Verdict(self._holder.name, agreed, least, self.mark)

    async def _current(self, name: str | None, found: Canaries) -> Canaries:
        """After a look at what upstream `name` has found just now."""
        if self._holder is None:
            await self._establish(name, found)
        elif name == self._holder.name:
            self._renew(self._holder, found)
        elif not self._holder.lasting and self._clock() - self._taken > FRESH:
            await self._refresh(self._holder)
        assert self._vectors is not None
        return self._vectors

    async def _establish(self, name: str | None, found: Canaries) -> None:
        """By the first that gives them; where a space is inherited, that agrees with it."""
        differing: list[tuple[Candidate, Canaries]] = []
        failure: EmbeddingError | None = None
        for candidate in self._candidates:
            try:
                vectors = found if candidate.name == name else await self._ask(candidate)
            except EmbeddingError as error:
                failure = failure or error
                continue
            if self._vectors is None or self._agree(candidate, self._vectors, vectors):
                self._define(candidate, self._vectors or vectors)
                return
            differing.append((candidate, vectors))
        if not differing:
            assert failure is not None
            raise self._nobody(failure) from failure
        self._change(*differing[0])

    def _agreed(self, name: str, wanted: Canaries) -> None:
        assert self._holder is not None
        if name == self.first.name != self._holder.name:
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
        self._holder, self._vectors, self._taken = candidate, vectors, self._clock()

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

    def _renew(self, holder: Candidate, found: Canaries) -> None:
        assert self._vectors is not None
        self._taken = self._clock()
        if not self._agree(holder, self._vectors, found):
            self._change(holder, found)
            return
        # The first stay, so that small steps do not add up; a text that was refused may come late.
        self._vectors = {**found, **self._vectors}

    def _change(self, candidate: Candidate, vectors: Canaries) -> None:
        _log.error("%s: upstream %r serves another model now", self.model, candidate.name)
        self._holder, self._vectors, self._taken = candidate, vectors, self._clock()
        self._spaces.change()
        self.mark = (
            Mark(candidate.identity, self._spaces.number(candidate.identity))
            if candidate.identity
            else Mark(self.mark.origin, self.mark.changes + 1)
        )

    async def _refresh(self, holder: Candidate) -> None:
        # Once in a while, whatever comes of it.
        self._taken = self._clock()
        try:
            found = await self._ask(holder)
        except EmbeddingError as error:
            _log.info("%s: %r is not compared again: %s", self.model, holder.name, error.message)
            return
        self._renew(holder, found)

    async def _ask(self, candidate: Candidate) -> Canaries:
        return await self.ask(candidate.name, candidate.service)

    def _agree(self, candidate: Candidate, one: Canaries, other: Canaries) -> bool:
        least = needed(candidate.precision, candidate.precision, self._least)
        return agreement(one, other).worst >= least

    def _nobody(self, error: EmbeddingError) -> UpstreamFailed:
        return UpstreamFailed(
            f"{self.first.name!r}, which defines the vector space, does not answer",
            detail=error.detail or error.message,
        )
