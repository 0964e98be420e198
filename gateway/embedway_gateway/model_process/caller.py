"""Answers one worker, many calls at a time: the model process's end of a connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import asdict

import msgspec
import numpy as np
from numpy.typing import NDArray

from embedway_gateway.metric import Metrics
from embedway_gateway.model_process.frame import Frames, Payload
from embedway_gateway.model_process.held import Held
from embedway_gateway.model_process.message import (
    Answer,
    Cancel,
    Embed,
    Embedded,
    Failed,
    Load,
    Loaded,
    Unload,
    encode,
    read_ask,
)
from embedway_gateway.runtime import Facts, Runtime
from embedway_upstream import EmbeddingError

__all__ = ["Caller"]

_log = logging.getLogger("embedway.gateway")


class Caller:
    """What a worker asked for, and holds; all of it ends with the connection."""

    def __init__(
        self, held: Held, metrics: Metrics, *, ended: Callable[[Caller], None] | None = None
    ) -> None:
        self._held = held
        self._metrics = metrics
        self._ended = ended
        self._models: dict[int, Runtime] = {}
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
                self._begin(ask.number, self._load(ask))
            case Embed():
                self._begin(ask.number, self._embed(ask))
            case Cancel():
                if call := self._calls.get(ask.number):
                    call.cancel()
                elif runtime := self._models.pop(ask.number, None):
                    # The answer was on its way.
                    self._give_back(runtime)
            case Unload():
                if runtime := self._models.pop(ask.number, None):
                    self._give_back(runtime)

    def _begin(self, number: int, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._calls[number] = task
        task.add_done_callback(lambda _: self._calls.pop(number, None))

    async def _load(self, ask: Load) -> None:
        runtime = self._held.take(ask.loads)
        try:
            facts = await runtime.load()
        except asyncio.CancelledError:
            self._give_back(runtime)
            raise
        except Exception as error:  # noqa: BLE001 – the last resort: there must be an answer
            self._give_back(runtime)
            self._failed(ask.number, error, runtime.problem)
            return
        self._models[ask.number] = runtime
        self._answer(_loaded(ask.number, facts))

    async def _embed(self, ask: Embed) -> None:
        runtime = self._models.get(ask.load)
        if runtime is None:
            self._answer(Failed(ask.number, "device", "the model was unloaded"))
            return
        with self._metrics.local_calls.track_inprogress():
            try:
                async with asyncio.timeout(ask.seconds):
                    done = await runtime.encode(ask.texts)
            except Exception as error:  # noqa: BLE001 – as above
                self._failed(ask.number, error)
                return
        answer = Embedded(ask.number, len(done.vectors), done.tokens, done.truncated)
        self._answer(answer, done.vectors)

    def _failed(self, number: int, error: Exception, problem: str = "") -> None:
        from embedway_local import LocalError

        match error:
            case EmbeddingError():
                answer = Failed(number, "load", error.detail or error.message, problem)
            case TimeoutError():
                answer = Failed(number, "late", "the request's deadline passed")
            case ValueError():
                answer = Failed(number, "invalid", str(error))
            case LocalError() | RuntimeError():
                answer = Failed(number, "device", str(error))
            case _:
                _log.error("a call failed by a fault of ours", exc_info=error)
                answer = Failed(number, "fault", type(error).__name__)
        self._answer(answer)

    def _answer(self, answer: Answer, vectors: NDArray[np.float32] | None = None) -> None:
        self.frames.send(encode(answer), vectors)

    def _give_back(self, runtime: Runtime) -> None:
        task = asyncio.create_task(self._held.give_back(runtime))
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)

    def _lost(self) -> None:
        for call in self._calls.values():
            call.cancel()
        for runtime in self._models.values():
            self._give_back(runtime)
        self._models.clear()
        if self._ended is not None:
            self._ended(self)


def _loaded(number: int, facts: Facts) -> Loaded:
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
