"""A local model in the model process, as a worker sees it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from embedway_gateway.model_process.frame import Payload
from embedway_gateway.model_process.line import Line, ProcessEnded
from embedway_gateway.model_process.message import Embed, Embedded, Failed, Load, Loaded, Unload
from embedway_gateway.runtime import Facts, Loads, require_unicode
from embedway_upstream import BadReply, DeadlineExceeded, UpstreamFailed, UpstreamUnreachable

if TYPE_CHECKING:
    from embedway_local import LocalEmbedding

__all__ = ["OutOfProcess"]

_log = logging.getLogger("embedway.gateway")

_AGAIN = 30.0
# Between two tries to reach a process that is being started.
_PAUSE = 0.2
_ENDED = "the model process ended, and is being started again"


class OutOfProcess:
    """
    The same as `InProcess`, with the same errors. When the model process ends, what runs fails with
    `ProcessEnded`, and the model is loaded again as soon as there is another; what comes meanwhile
    waits for that, for `patience` seconds at most.

    A model that is found changed then is refused: its vectors are not those given until now.
    """

    def __init__(
        self,
        name: str,
        loads: Loads,
        line: Line,
        *,
        patience: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self._loads = loads
        self._line = line
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        self._load_number: int | None = None
        self._loading: asyncio.Task[int] | None = None
        self._failed_at = 0.0
        self._closed = False
        self.facts: Facts | None = None
        self.problem = "the model is being loaded"
        self.gone = False

    async def load(self) -> Facts:
        """Loaded once, whoever asks first."""
        await self._loaded()
        assert self.facts is not None
        return self.facts

    async def encode(
        self, texts: Sequence[str], *, deadline: float | None = None
    ) -> LocalEmbedding:
        """Embed the texts as they are, in the model process."""
        load = await self._loaded()
        seconds = None if deadline is None else max(0.0, deadline - self._clock())
        try:
            answer, payload = await self._line.ask(
                Embed(self._line.number(), load, tuple(texts), seconds)
            )
        except UnicodeEncodeError:
            require_unicode(texts)
            raise
        match answer:
            case Embedded():
                return self._embedding(answer, payload, len(texts))
            case Failed():
                raise _raised(answer, self.name)
            case Loaded():
                raise BadReply("the model process answered another question")

    async def close(self) -> None:
        """Tell that this worker needs it no more."""
        self._closed = True
        self._line.watchers.discard(self._lost)
        if self._loading is not None and not self._loading.done():
            self._loading.cancel()
        if self._load_number is not None:
            self._line.tell(Unload(self._load_number))
            self._load_number = None

    async def _loaded(self) -> int:
        """The number under which it is loaded."""
        if self._closed:
            raise UpstreamFailed(
                "the local runtime failed", upstream=self.name, detail="the model was unloaded"
            )
        if self._load_number is not None:
            return self._load_number
        failed = self._loading is not None and self._loading.done()
        if self._loading is None or (failed and self._clock() - self._failed_at > _AGAIN):
            self._loading = asyncio.create_task(self._load())
        try:
            async with asyncio.timeout(self._patience if self.gone else None):
                # Shielded: a caller that goes away does not stop the loading for the others.
                return await asyncio.shield(self._loading)
        except TimeoutError:
            raise UpstreamUnreachable(_ENDED, upstream=self.name) from None

    async def _load(self) -> int:
        # Imported in a thread, before anybody needs it: it takes 0.1 s.
        await asyncio.to_thread(_import_runtime)
        self._line.watchers.add(self._lost)
        number, answer = await self._answered()
        if isinstance(answer, Failed):
            raise self._refused(answer.message, answer.problem or answer.message)
        assert isinstance(answer, Loaded)
        facts = _facts(answer)
        if self.facts is not None and facts.space != self.facts.space:
            self._line.tell(Unload(number))
            raise self._refused(
                "the files of the model have changed",
                "the files of the model have changed since it was first loaded; restart the "
                "gateway to serve the new ones",
            )
        self.facts, self.problem, self.gone = facts, "", False
        self._load_number = number
        return number

    async def _answered(self) -> tuple[int, Loaded | Embedded | Failed]:
        """By whichever process lives long enough."""
        while True:
            with contextlib.suppress(OSError, ProcessEnded):
                await self._line.connect()
                number, breaks = self._line.number(), self._line.breaks
                answer, _ = await self._line.ask(Load(number, self._loads))
                # Else it ended right after it had answered.
                if breaks == self._line.breaks:
                    return number, answer
            await self._sleep(_PAUSE)

    def _refused(self, detail: str, problem: str) -> UpstreamFailed:
        self._failed_at = self._clock()
        self.problem = problem
        _log.error("the local model %s cannot be loaded: %s", self.name, problem)
        return UpstreamFailed(
            "the local model could not be loaded", upstream=self.name, detail=detail
        )

    def _lost(self) -> None:
        """The connection broke, and the process with it, as far as is known."""
        self._load_number = None
        if self._closed or (self._loading is not None and not self._loading.done()):
            return
        self.problem, self.gone = _ENDED, True
        self._loading = asyncio.create_task(self._load())
        # What came of it is told by `problem`, whether anybody waits or not.
        self._loading.add_done_callback(_seen)

    def _embedding(self, answer: Embedded, payload: Payload, texts: int) -> LocalEmbedding:
        from embedway_local import LocalEmbedding

        assert self.facts is not None
        width = self.facts.dimensions
        if answer.rows != texts or payload.nbytes != texts * width * 4:
            raise BadReply(
                f"the model process gave {payload.nbytes} bytes for {texts} vectors of {width}"
            )
        vectors = payload.view("<f4").reshape(texts, width).astype(np.float32, copy=False)
        return LocalEmbedding(vectors, answer.tokens, answer.truncated)


def _import_runtime() -> None:
    import embedway_local  # noqa: F401


def _facts(answer: Loaded) -> Facts:
    from embedway_local import VectorSpace

    space = msgspec.convert(answer.space, VectorSpace)
    if space.fingerprint != answer.fingerprint:
        raise BadReply("the model process tells another vector space than it has")
    return Facts(
        model=answer.model,
        device=answer.device,
        dimensions=answer.dimensions,
        max_tokens=answer.max_tokens,
        space=space,
        agreement=answer.agreement,
    )


def _raised(failed: Failed, name: str) -> Exception:
    from embedway_local import LocalError

    match failed.kind:
        case "invalid":
            return ValueError(failed.message)
        case "device":
            return LocalError(failed.message)
        case "late":
            return DeadlineExceeded(failed.message)
        case "load" | "fault":
            return UpstreamFailed("the local runtime failed", upstream=name, detail=failed.message)


def _seen(task: asyncio.Task[int]) -> None:
    if not task.cancelled():
        task.exception()
