"""Lets texts of many callers travel together while all slots of the upstreams are busy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from embedway_gateway.layers.backlog import Backlog
from embedway_gateway.layers.boarding import (
    fail,
    give,
    is_patient,
    leave_behind,
    line_up,
    release,
    wanted,
)
from embedway_gateway.layers.culprit import SUSPICIOUS, suspects
from embedway_gateway.layers.flight import Call, Caller, Key, Text, keys, require_whole
from embedway_gateway.layers.lane import MOST, Lane, charge
from embedway_gateway.layers.linger import Linger
from embedway_gateway.layers.travel import Onlooker, Unseen
from embedway_upstream import (
    DeadlineExceeded,
    EmbeddingRequest,
    EmbeddingResponse,
    Overloaded,
    Service,
)

if TYPE_CHECKING:
    from embedway_gateway.layers.retry import Budget
    from embedway_gateway.layers.room import Room

__all__ = ["Coalesce"]

# Texts that may wait of each type; more than any upstream embeds within a usual deadline.
_WAITING = 65_536
# Of the slots, rounded down: ingestion leaves so many free for queries, as long as some came in
# the last seconds.
_KEPT_FREE = 0.1
_REMEMBERED = 10.0


class Coalesce:
    """
    A request leaves at once while a slot is free. While none is, texts wait, and a call takes
    along as many as it may hold, whoever they are from, queries before documents (see `Lane`). A
    request that is larger than a call is cut by the same rule. Slots in which a call would only
    wait are kept a moment for a full one (`Linger`).

    A text that somebody waits for already is not sent again: both get its vector. When the caller
    who carries it goes away, or his deadline comes, it is sent anew for the others.

    A call that is refused for one of its texts is taken apart until that is found (`suspects`):
    only its callers get the error. Other errors end all callers of the call.
    """

    def __init__(
        self,
        inner: Service[EmbeddingRequest, EmbeddingResponse],
        room: Room,
        budget: Budget,
        *,
        query_share: float = 0.9,
        waiting: int = _WAITING,
        clock: Callable[[], float] = time.monotonic,
        onlooker: Onlooker | None = None,
    ) -> None:
        self._inner = inner
        self._room = room
        self._onlooker = onlooker or Unseen()
        self._budget = budget
        self._most = waiting
        self._clock = clock
        self._query = Lane(query_share)
        self._document = Lane(1 - query_share)
        self._running = 0
        self._queried = float("-inf")
        self._backlog = Backlog()
        self._linger = Linger(self._pump, clock)
        # The event loop itself would forget them.
        self._tasks: set[asyncio.Task[None]] = set()

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """The vectors of the inputs, in their order, whoever else asked for them."""
        if request.dimensions is not None:
            # Not the vector that others get; whoever shortens stands above.
            return await self._inner.send(request)
        if request.input_type == "query":
            self._queried = self._clock()
            lane = self._query
        else:
            lane = self._document
        known = keys(request)
        if self._may_go(lane, request.inputs, known):
            return await self._go(request, lane, known)
        return await self._wait(request, lane)

    def _may_go(self, lane: Lane, inputs: tuple[str, ...], known: tuple[Key, ...]) -> bool:
        """Whether a request can leave at once, and alone."""
        if self._query.waiting or self._document.waiting or not self._is_room(lane):
            return False
        if self._running and self._lingers(lane):
            return False
        for away in (lane.flying, lane.alone):
            if away and not away.keys().isdisjoint(known):
                return False
        count = len(inputs)
        if count > 1 and len(set(inputs)) < count:
            return False
        return self._room.bounds().texts_that_fit(inputs) == count

    def _is_room(self, lane: Lane) -> bool:
        if self._running == 0:
            return True
        slots = self._room.slots()
        if self._running >= slots:
            return False
        if lane is self._query or self._clock() - self._queried > _REMEMBERED:
            return True
        return lane.running < slots - int(slots * _KEPT_FREE)

    async def _go(
        self, request: EmbeddingRequest, lane: Lane, known: tuple[Key, ...]
    ) -> EmbeddingResponse:
        call, inputs = Call([]), request.inputs
        lane.let_go(known, call)
        self._begin(lane)
        begun = self._clock()
        self._onlooker.at_once(begun)
        try:
            response = await self._inner.send(request)
            self._linger.note(begun)
            require_whole(response, len(inputs))
            if call.texts:
                rows = {value: row for row, value in enumerate(inputs)}
                found = [(rows[text.value], text) for text in call.texts]
                give(lane, response, found, inputs)
        except BaseException as error:
            leave_behind(lane, call, len(inputs), error)
            raise
        else:
            return response
        finally:
            lane.land(known)
            self._end(lane)

    async def _wait(self, request: EmbeddingRequest, lane: Lane) -> EmbeddingResponse:
        left = None if request.deadline is None else request.deadline - self._clock()
        self._require_hope(lane, len(request.inputs), left)
        loop = asyncio.get_running_loop()
        caller = Caller(request, loop.create_future())
        timer = None if left is None else loop.call_later(left, caller.expire)
        self._onlooker.enters(caller, self._clock())
        try:
            line_up(lane, caller)
            self._pump()
            return await caller.answer
        finally:
            if timer is not None:
                timer.cancel()
            release(lane, caller)
            self._onlooker.ends(caller, self._clock())

    def _require_hope(self, lane: Lane, texts: int, left: float | None) -> None:
        """Refuse what would wait in vain, rather than let it wait."""
        if left is not None and left <= 0:
            raise DeadlineExceeded("the request's deadline passed before its turn came")
        wait = 0.0 if left is None or not lane.waiting else self._wait_of(lane, texts, left)
        late = left is not None and wait > left
        if late or (lane.waiting and lane.waiting + texts > self._most):
            raise Overloaded(
                "more texts wait than can be embedded in time; try again later",
                retry_after=max(1.0, wait / 2),
            )

    def _wait_of(self, lane: Lane, texts: int, left: float) -> float:
        """How long new texts would wait, about; 0 if surely not longer than what is `left`."""
        if lane.waiting <= (self._room.bounds().max_inputs or MOST):
            # One call takes them all.
            return 0.0
        other = self._other(lane)
        most = self._backlog.seconds(lane.waiting + other.waiting, at_once=self._running)
        if most <= left:
            return 0.0
        # Looked at closely: callers take turns, and so do lanes.
        ahead = lane.ahead_of(texts)
        ahead += min(other.waiting, int(ahead * other.share / lane.share))
        return self._backlog.seconds(ahead, at_once=self._running)

    def _other(self, lane: Lane) -> Lane:
        return self._document if lane is self._query else self._query

    def _lingers(self, lane: Lane) -> bool:
        queueing = self._room.queueing()
        if not self._linger.concerns(self._running, self._room.slots(), queueing):
            return False
        if lane.waiting >= (self._room.bounds().max_inputs or MOST):
            return False
        return self._linger.goes_on(queueing=queueing > 0)

    def _pump(self) -> None:
        """Begin as many calls as there are slots and texts for."""
        while (lane := self._next()) is not None:
            if self._lingers(lane):
                return
            other = self._other(lane)
            rivals = other.waiting > 0
            texts = lane.take(self._room.bounds())
            call = Call(texts, full=lane.waiting > 0)
            charge(lane, other, len(texts), rivals=rivals)
            for text in texts:
                text.call = call
            self._begin(lane)
            context = self._onlooker.boards(texts, self._clock())
            task = asyncio.create_task(self._carry(lane, call), context=context)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _next(self) -> Lane | None:
        """The lane whose turn it is, if it has one; queries first."""
        query, document = self._query, self._document
        ingest = document.waiting and (not query.waiting or document.passed < query.passed)
        if ingest and self._is_room(document):
            return document
        # Ingestion may be held back where a query is not.
        return query if query.waiting and self._is_room(query) else None

    def _begin(self, lane: Lane) -> None:
        self._linger.over()
        lane.running += 1
        self._running += 1

    def _end(self, lane: Lane) -> None:
        lane.running -= 1
        self._running -= 1
        self._pump()

    async def _carry(self, lane: Lane, call: Call) -> None:
        call.task = asyncio.current_task()
        todo = [call.texts]
        try:
            while todo:
                todo[:0] = await self._send(lane, call, todo.pop(0))
        except BaseException as error:
            # The last resort: whatever it is, nobody may wait for ever.
            fail(lane, [text for text in call.texts if text.call is call], error)
            if not isinstance(error, Exception):
                raise
        finally:
            call.task = None
            self._end(lane)

    async def _send(self, lane: Lane, call: Call, texts: list[Text]) -> list[list[Text]]:
        """Send some of a call's texts; gives those that are to be tried apart."""
        texts = wanted(lane, texts)
        if not texts:
            return []
        request, begun = _merged(texts), self._clock()
        try:
            response = await self._inner.send(request)
            self._linger.note(begun)
            require_whole(response, len(texts))
        except SUSPICIOUS as error:
            parts = suspects(texts, error, self._budget)
            if not parts:
                fail(lane, texts, error)
            return parts
        except DeadlineExceeded as error:
            lane.again([text for text in texts if is_patient(text, request.deadline)])
            fail(lane, [text for text in texts if text.call is call], error)
        except Exception as error:  # noqa: BLE001 – whatever it is, the other parts go on
            fail(lane, texts, error)
        else:
            if call.full and len(texts) == len(call.texts):
                self._backlog.add(len(texts), self._clock() - begun)
            give(lane, response, list(enumerate(texts)), request.inputs)
        return []


def _merged(texts: list[Text]) -> EmbeddingRequest:
    """One request for the texts of several: its time is up when that of all of them is."""
    requests = [caller.request for caller in {one[0] for text in texts for one in text.places}]
    deadlines = [one.deadline for one in requests if one.deadline is not None]
    return EmbeddingRequest(
        requests[0].model,
        tuple([text.value for text in texts]),
        requests[0].input_type,
        None,
        max(deadlines) if len(deadlines) == len(requests) else None,
    )
