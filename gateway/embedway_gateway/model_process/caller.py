"""Answers one worker, many calls at a time: the model process's end of a connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from functools import partial
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from embedway_gateway.metric import Metrics
from embedway_gateway.model_process.frame import Frames, Payload
from embedway_gateway.model_process.held import Held, Shelf
from embedway_gateway.model_process.message import (
    Answer,
    Cancel,
    Embed,
    Embedded,
    Failed,
    Load,
    Loaded,
    LoadRanker,
    RankerLoaded,
    Score,
    Scored,
    Unload,
    encode,
    read_ask,
)
from embedway_gateway.runtime import Ranker, Runtime
from embedway_upstream import EmbeddingError

__all__ = ["Caller"]

_log = logging.getLogger("embedway.gateway")

_Model = TypeVar("_Model", Runtime, Ranker)


class Caller:
    """What a worker asked for, and holds; all of it ends with the connection."""

    def __init__(
        self, held: Held, metrics: Metrics, *, ended: Callable[[Caller], None] | None = None
    ) -> None:
        self._held = held
        self._metrics = metrics
        self._ended = ended
        self._embedders: dict[int, Runtime] = {}
        self._rankers: dict[int, Ranker] = {}
        self._returns: dict[int, Callable[[], Coroutine[None, None, None]]] = {}
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._returning: set[asyncio.Task[None]] = set()
        self.frames = Frames(self._received, self._lost)

    def _received(self, header: bytes, _payload: Payload) -> None:
        try:
            ask = read_ask(header)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            _log.error("a worker says what nobody understands, and is hung up on: %s", error)
            self.frames.close()
            return
        match ask:
            case Load():
                self._begin(
                    ask.number, self._load(ask, self._held.embedders, self._embedders, _loaded)
                )
            case LoadRanker():
                self._begin(ask.number, self._load(ask, self._held.rankers, self._rankers, _ranked))
            case Embed():
                self._begin(ask.number, self._embed(ask))
            case Score():
                self._begin(ask.number, self._score(ask))
            case Cancel():
                call = self._calls.get(ask.number)
                if call is None or not call.cancel():
                    # The answer was on its way.
                    self._unload(ask.number)
            case Unload():
                self._unload(ask.number)

    def _begin(self, number: int, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._calls[number] = task
        task.add_done_callback(lambda _: self._calls.pop(number, None))

    async def _load(
        self,
        ask: Load | LoadRanker,
        shelf: Shelf[_Model],
        mine: dict[int, _Model],
        tell: Callable[[int, _Model], Coroutine[None, None, Answer]],
    ) -> None:
        model = shelf.take(ask.loads)
        back = partial(shelf.give_back, ask.loads)
        try:
            answer = await tell(ask.number, model)
        except asyncio.CancelledError:
            self._give_back(back)
            raise
        except Exception as error:  # noqa: BLE001 – the last resort: there must be an answer
            self._give_back(back)
            self._failed(ask.number, error, model.problem)
            return
        mine[ask.number], self._returns[ask.number] = model, back
        self._answer(answer)

    async def _embed(self, ask: Embed) -> None:
        runtime = self._embedders.get(ask.load)

        async def work() -> tuple[Answer, NDArray[np.float32]]:
            if runtime is None:
                raise _unloaded()
            done = await runtime.encode(ask.texts)
            answer = Embedded(ask.number, len(done.vectors), done.tokens, done.truncated)
            return answer, done.vectors

        await self._compute(ask, work)

    async def _score(self, ask: Score) -> None:
        ranker = self._rankers.get(ask.load)

        async def work() -> tuple[Answer, NDArray[np.float32]]:
            if ranker is None:
                raise _unloaded()
            done = await ranker.score(ask.query, ask.documents)
            return Scored(ask.number, done.tokens, done.truncated), done.scores

        await self._compute(ask, work)

    async def _compute(
        self,
        ask: Embed | Score,
        work: Callable[[], Coroutine[None, None, tuple[Answer, NDArray[np.float32]]]],
    ) -> None:
        with self._metrics.local_calls.track_inprogress():
            try:
                async with asyncio.timeout(ask.seconds):
                    answer, numbers = await work()
            except Exception as error:  # noqa: BLE001 – as above
                self._failed(ask.number, error)
                return
        self._answer(answer, numbers)

    def _failed(self, number: int, error: Exception, problem: str = "") -> None:
        from embedway_local.error import LocalError, NotNumbers

        match error:
            case EmbeddingError():
                answer = Failed(number, "load", error.detail or error.message, problem)
            case TimeoutError():
                answer = Failed(number, "late", "the request's deadline passed")
            case ValueError():
                answer = Failed(number, "invalid", str(error))
            case NotNumbers():
                answer = Failed(number, "device", error.reason, rows=error.rows)
            case LocalError() | RuntimeError():
                answer = Failed(number, "device", str(error))
            case _:
                _log.error("a call failed by a fault of ours", exc_info=error)
                answer = Failed(number, "fault", type(error).__name__)
        self._answer(answer)

    def _answer(self, answer: Answer, numbers: NDArray[np.float32] | None = None) -> None:
        self.frames.send(encode(answer), numbers)

    def _unload(self, number: int) -> None:
        if back := self._returns.pop(number, None):
            self._embedders.pop(number, None)
            self._rankers.pop(number, None)
            self._give_back(back)

    def _give_back(self, back: Callable[[], Coroutine[None, None, None]]) -> None:
        task = asyncio.create_task(back())
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)

    def _lost(self) -> None:
        for call in self._calls.values():
            call.cancel()
        for number in list(self._returns):
            self._unload(number)
        if self._ended is not None:
            self._ended(self)


def _unloaded() -> RuntimeError:
    return RuntimeError("the model was unloaded")


async def _loaded(number: int, model: Runtime) -> Loaded:
    facts = await model.load()
    return Loaded(
        number,
        model=facts.model,
        device=facts.device,
        dimensions=facts.dimensions,
        max_tokens=facts.max_tokens,
        space=asdict(facts.space),
        fingerprint=facts.space.fingerprint,
        agreement=facts.agreement,
    )


async def _ranked(number: int, model: Ranker) -> RankerLoaded:
    facts = await model.load()
    return RankerLoaded(number, model=facts.model, device=facts.device, max_tokens=facts.max_tokens)
