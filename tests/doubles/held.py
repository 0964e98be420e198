"""An upstream whose calls are held until a test lets them end."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from doubles.time import Time
from embedway_gateway.layers.bound import Bounds
from embedway_gateway.layers.coalesce import Coalesce
from embedway_gateway.layers.retry import Budget
from embedway_upstream import (
    EmbeddingRequest,
    EmbeddingResponse,
    InputType,
    InvalidRequest,
    Usage,
)
from embedway_upstream.testing import fake_vectors


@lru_cache(4096)
def vector(text: str) -> Any:
    """What every stand-in here gives for a text."""
    return fake_vectors([text], 4)[0]


class Room:
    """As much as it is told."""

    def __init__(self, slots: int = 1, **bounds: int) -> None:
        self.most = slots
        self.held = Bounds(**bounds)

    def slots(self) -> int:
        return self.most

    def queueing(self) -> int:
        return 0

    def bounds(self) -> Bounds:
        return self.held


class Call:
    """One call, still without an end."""

    def __init__(self, request: EmbeddingRequest, poison: Collection[str]) -> None:
        self.request = request
        self.inputs = request.inputs
        self.end: asyncio.Future[EmbeddingResponse] = asyncio.get_running_loop().create_future()
        self._poison = poison

    def answer(self, **changes: Any) -> None:
        """With the right vectors and a token a letter; or refuse it, if a text is poisoned."""
        if not set(self.inputs) & set(self._poison):
            tokens = sum(map(len, self.inputs))
            given = {
                "model": "served",
                "vectors": np.stack([vector(text) for text in self.inputs]),
                "usage": Usage(tokens, tokens),
                "served_by": "held",
            }
            self.end.set_result(EmbeddingResponse(**{**given, **changes}))
        else:
            self.end.set_exception(InvalidRequest("one is poisoned"))

    def fail(self, error: BaseException) -> None:
        self.end.set_exception(error)


class Held:
    """`calls` are all there were, `running` those that are held now."""

    def __init__(self, poison: Collection[str] = ()) -> None:
        self.calls: list[Call] = []
        self.running: list[Call] = []
        self.poison = poison

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        call = Call(request, self.poison)
        self.calls.append(call)
        self.running.append(call)
        try:
            return await call.end
        finally:
            self.running.remove(call)

    @property
    def texts(self) -> list[tuple[str, ...]]:
        """What each call held."""
        return [call.inputs for call in self.calls]

    async def answer_all(self) -> None:
        """Until nothing is asked any more."""
        await settle()
        while self.running:
            for call in list(self.running):
                if not call.end.done():
                    call.answer()
            await settle()


Task = asyncio.Task[EmbeddingResponse]


async def settle() -> None:
    """Let everybody do what can be done now."""
    for _ in range(8):
        await asyncio.sleep(0)


class World:
    """A `Coalesce` above calls that are held."""

    def __init__(
        self, slots: int = 1, *, share: float = 0.9, waiting: int = 10**5, **bounds: int
    ) -> None:
        self.inner, self.room, self.time = Held(), Room(slots, **bounds), Time()
        self.budget = Budget(clock=self.time)
        self.layer = Coalesce(
            self.inner,
            self.room,
            self.budget,
            query_share=share,
            waiting=waiting,
            clock=self.time,
        )

    def ask(self, *texts: str, kind: InputType = "document", **more: Any) -> Task:
        request = EmbeddingRequest("m", texts, kind, **more)
        return asyncio.create_task(self.layer.send(request))

    async def busy(self, calls: int = 1, kind: InputType = "document") -> list[Task]:
        tasks = [self.ask(f"busy {kind} {number}", kind=kind) for number in range(calls)]
        await settle()
        return tasks


def names(letter: str, count: int) -> list[str]:
    return [f"{letter}{number:04}" for number in range(count)]


def require_own(given: EmbeddingResponse | Task, *texts: str) -> None:
    """Its vectors are those of the texts, and in their order; and it is there."""
    if isinstance(given, asyncio.Task):
        assert given.done(), "it waits for ever"
        given = given.result()
    np.testing.assert_array_equal(np.stack([vector(text) for text in texts]), given.vectors)


def require_clean(world: World) -> None:
    """Nothing is left of the requests that were."""
    layer = world.layer
    assert (0, set()) == (layer._running, layer._tasks)
    for lane in (layer._query, layer._document):
        assert (0, 0, {}, {}) == (lane.waiting, lane.running, lane.flying, lane.alone)
        assert not lane._first
        assert not lane._lines


class Gated(Protocol):
    """An upstream that answers once `go` is set."""

    go: asyncio.Event

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse: ...


async def outcomes(inner: Gated, *texts: tuple[str, ...], floor: float = 10.0) -> list[Any]:
    """What callers get who all waited for one slot."""
    layer = Coalesce(inner, Room(), Budget(floor=floor, share=0, clock=Time()), clock=Time())
    sent = [("busy",), *texts]
    tasks = [asyncio.create_task(layer.send(EmbeddingRequest("m", one))) for one in sent]
    await settle()
    inner.go.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    return found[1:]
