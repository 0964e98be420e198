"""Keeps an upstream from serving until its vectors are seen to match the model's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import Context

from embedway_gateway.layers.canary import Canaries
from embedway_gateway.layers.quarantine import Quarantine
from embedway_gateway.layers.reference import FRESH, Mark, Outdated, Reference
from embedway_gateway.layers.steady import SpaceChanged
from embedway_gateway.layers.verdict import Verdict
from embedway_gateway.precision import Precision
from embedway_upstream import (
    BadReply,
    BadVector,
    DeadlineExceeded,
    EmbeddingError,
    EmbeddingRequest,
    EmbeddingResponse,
    InvalidRequest,
    Overloaded,
    RateLimited,
    Service,
    UpstreamDefect,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimeout,
    WrongSpace,
)

__all__ = ["SameSpace"]

_AGAIN = 60.0
# After there was no capacity for a comparison.
_SOON = 5.0
# Beyond this nobody was served beside whose request it could have been compared.
_STALE = 2 * FRESH


class SameSpace:
    """
    Lets requests through while the upstream's canary vectors match the reference's; until then,
    and when they differ, raises `WrongSpace`.

    They are compared before the first request, again after the upstream failed or rested, for it
    may come back as another, and every five minutes beside the traffic; after a longer silence
    before it. A result that says no is asked for again after a minute. Where there is no capacity
    to compare now, what is known stays, and it is tried again soon. A request waits for the
    comparison no longer than its deadline. An answer is held back while it may be of another model:
    when the upstream was seen to fail, or the model's space changed, since it was asked.

    The upstream that defines the space waits for its canaries like the others: what it served
    before they were known could be of another model than they are.
    """

    def __init__(
        self,
        inner: Service[EmbeddingRequest, EmbeddingResponse],
        reference: Reference,
        *,
        upstream: str,
        quarantine: Quarantine,
        precision: Precision = "fp32",
        measured: Callable[[], float | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self.reference = reference
        self._upstream = upstream
        self._quarantine = quarantine
        self._precision: Precision = precision
        self._measured = measured
        self._clock = clock
        self._proving: asyncio.Task[None] | None = None
        self._mark: Mark | None = None
        self._doubts = 0
        self._proven_at = 0.0
        self._size: int | None = None
        self._refused: Mark | None = None
        self._refused_until = 0.0
        self._put_off_until = 0.0
        self._trusted_until = float("-inf")
        self.strays = 0
        """How often it had served, and was then found to be of another space."""
        self._problem: str | None = None

    @property
    def problem(self) -> str:
        """
        Why it does not serve; empty when it does, and for the one that is to define the space,
        which only waits to be asked.
        """
        if self._problem is not None:
            return self._problem
        if self._upstream == self.reference.first.name and not self.reference.known:
            return ""
        return "its vectors have not been compared with the model's yet"

    @property
    def quarantined(self) -> str:
        """Why it is refused for its vectors; empty when it is not."""
        return self._quarantine.reason

    def may_serve(self) -> bool:
        """Whether a request would be sent, or wait for a comparison, and not be refused at once."""
        # The first is nearly always so, and every request asks.
        return self._refused is None or not self._is_refused or self._is_proven

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """Send, when the upstream is proven."""
        if not self._is_proven or self._age > _STALE:
            await self._wait(request.deadline)
        elif self._age > FRESH and self._clock() >= self._put_off_until:
            self._begin()
        # That which it was proven for: the model's may have changed since, beside the comparison.
        doubts, mark = self._doubts, self._mark
        try:
            response = await self._inner.send(request)
        except UpstreamError as error:
            if isinstance(error, BadVector):
                self._suspect()
            elif _may_return_as_another(error):
                self._doubt()
            raise
        if doubts != self._doubts or mark != self.reference.mark:
            await self._require(mark, request.deadline)
        if self._size is not None and response.vectors.shape[1] != self._size:
            self._doubt()
            raise BadReply("the upstream's vectors changed their size", upstream=self._upstream)
        return response

    async def prove(self) -> None:
        """Compare now, unless it is proven; raises what stands in the way."""
        if not self._is_proven:
            await self._wait(None)

    def away(self) -> None:
        """It rests, whoever found that it should: it may come back as another."""
        self._doubt()

    def end(self, *, followed: bool) -> None:
        """Nothing is told of it here any more; the upstream is gone, unless another follows it."""
        self._quarantine.end(followed=followed)

    @property
    def _is_proven(self) -> bool:
        return self._mark is not None and self._mark == self.reference.mark

    @property
    def _is_refused(self) -> bool:
        return self._refused == self.reference.mark and self._clock() < self._refused_until

    @property
    def _age(self) -> float:
        """Seconds since it was proven."""
        return 0.0 if self._mark is None else self._clock() - self._proven_at

    async def _require(self, mark: Mark | None, deadline: float | None) -> None:
        """Raise `SpaceChanged` unless the upstream is seen to be what it was when it was asked."""
        if not self._is_proven:
            await self._wait(deadline)
        if self.reference.mark != mark:
            raise SpaceChanged(
                "the model's vector space changed while the upstream was asked",
                upstream=self._upstream,
            )

    def _doubt(self) -> None:
        self._mark = None
        self._doubts += 1

    def _suspect(self) -> None:
        """
        It had no vector for some texts. As a rule that is about them: others go on beside a
        comparison, which tells where it is not. Not again for each of them.
        """
        if self._clock() >= max(self._trusted_until, self._put_off_until):
            self._trusted_until = self._clock() + _AGAIN
            self._begin()

    async def _wait(self, deadline: float | None) -> None:
        if self._is_refused:
            raise WrongSpace(self.problem, upstream=self._upstream)
        left = None if deadline is None else deadline - self._clock()
        try:
            async with asyncio.timeout(left):
                # Shielded: one comparison serves all who wait, whoever goes away.
                await asyncio.shield(self._begin())
        except TimeoutError:
            raise DeadlineExceeded(
                "the deadline passed while the upstream was compared with the model",
                upstream=self._upstream,
            ) from None
        except EmbeddingError as error:
            # Theirs too: what the layers above note on it is about one request.
            raise error.own() from error

    def _begin(self) -> asyncio.Task[None]:
        if self._proving is None or self._proving.done():
            # In a context of its own: it is for all, and not of the request that began it.
            self._proving = asyncio.create_task(self._prove(), context=Context())
            # Looked at, because nobody may be waiting for it.
            self._proving.add_done_callback(lambda done: done.cancelled() or done.exception())
        return self._proving

    async def _prove(self) -> None:
        while True:
            doubts = self._doubts
            try:
                found = await self.reference.ask(self._upstream, self._inner)
                if doubts != self._doubts:
                    # Some of them may be of another model than the others.
                    continue
                verdict = await self.reference.judge(
                    self._upstream, self._precision, found, self._measured()
                )
            except Outdated:
                continue
            except InvalidRequest as error:
                self._missed(error)
                # The texts are ours, and no caller's mistake.
                raise UpstreamRefused(
                    "the upstream refuses the texts by which vectors are compared",
                    upstream=self._upstream,
                    detail=error.detail or error.message,
                ) from error
            except EmbeddingError as error:
                self._missed(error)
                raise
            if doubts == self._doubts:
                break
        self._take(verdict, found)

    def _missed(self, error: EmbeddingError) -> None:
        """There is nothing to compare."""
        if isinstance(error, RateLimited | Overloaded):
            # Of the model that is there it says nothing.
            self._put_off_until = self._clock() + min(error.retry_after or _SOON, _AGAIN)
            if self._is_proven:
                return
        self._doubt()
        self._problem = f"its vectors could not be compared: {error.message}"

    def _take(self, verdict: Verdict, found: Canaries) -> None:
        """What came of it. Raises `WrongSpace` where it says no."""
        self._quarantine.take(verdict)
        self._problem = verdict.reason
        if verdict.same:
            self._mark, self._proven_at = verdict.mark, self._clock()
            self._size = next(iter(found.values())).shape[0]
            return
        if self._size is not None:
            self.strays += 1
        self._doubt()
        self._size = None
        self._refused, self._refused_until = verdict.mark, self._clock() + _AGAIN
        raise WrongSpace(verdict.reason, upstream=self._upstream)


def _may_return_as_another(error: UpstreamError) -> bool:
    """Not where this very request is what it cannot do."""
    together = isinstance(error, UpstreamTimeout) and error.fewer_may_pass
    return not (isinstance(error, UpstreamDefect) or together)
