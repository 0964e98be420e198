"""A worker's hold on one model of the model process, taken again whenever that process ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from embedway_gateway.model_process.line import Line, ProcessEnded
from embedway_gateway.model_process.message import Answer, Failed, Load, LoadRanker, Unload
from embedway_upstream import (
    BadReply,
    DeadlineExceeded,
    EmbeddingError,
    UpstreamFailed,
    UpstreamUnreachable,
)

__all__ = ["Lease", "raised"]

_log = logging.getLogger("embedway.gateway")

_AGAIN = 30.0
# Between two tries to reach a process that is being started.
_PAUSE = 0.2
_ENDED = "the model process ended, and is being started again"

Known = TypeVar("Known")


class Lease(Generic[Known]):
    """
    `ask` makes the call that loads the model under a number; `read` takes from its answer what is
    known of it; `same` says whether a model that is loaded again is the one that it was, for else
    it is refused: what it gives is not what was given until now.

    When the model process ends, what runs fails with `ProcessEnded`, and the model is loaded again
    as soon as there is another; what comes meanwhile waits for that, for `patience` seconds at
    most.
    """

    def __init__(
        self,
        name: str,
        line: Line,
        *,
        ask: Callable[[int], Load | LoadRanker],
        read: Callable[[Answer], Known],
        same: Callable[[Known, Known], bool],
        patience: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self.line = line
        self._ask = ask
        self._read = read
        self._same = same
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        self._number: int | None = None
        self._loading: asyncio.Task[int] | None = None
        self._failed_at = 0.0
        self._closed = False
        self.known: Known | None = None
        self.problem = "the model is being loaded"
        self.gone = False

    async def load(self) -> Known:
        """Loaded once, whoever asks first."""
        await self.number()
        assert self.known is not None
        return self.known

    async def number(self) -> int:
        """The number under which it is loaded."""
        if self._closed:
            raise UpstreamFailed(
                "the local runtime failed", upstream=self.name, detail="the model was unloaded"
            )
        if self._number is not None:
            return self._number
        failed = self._loading is not None and self._loading.done()
        if self._loading is None or (failed and self._clock() - self._failed_at > _AGAIN):
            self._loading = asyncio.create_task(self._load())
        try:
            async with asyncio.timeout(self._patience if self.gone else None):
                # Shielded: a caller that goes away does not stop the loading for the others.
                return await asyncio.shield(self._loading)
        except TimeoutError:
            raise UpstreamUnreachable(_ENDED, upstream=self.name) from None
        except EmbeddingError as error:
            # Others have it too, perhaps as upstreams of other models.
            raise error.own() from error

    def seconds(self, deadline: float | None) -> float | None:
        """How long it is to a deadline."""
        return None if deadline is None else max(0.0, deadline - self._clock())

    async def close(self) -> None:
        """Tell that this worker needs it no more."""
        self._closed = True
        self.line.watchers.discard(self._lost)
        if self._loading is not None and not self._loading.done():
            self._loading.cancel()
        if self._number is not None:
            self.line.tell(Unload(self._number))
            self._number = None

    async def _load(self) -> int:
        # Imported in a thread, before anybody needs it: it takes 0.1 s.
        await asyncio.to_thread(_import_runtime)
        self.line.watchers.add(self._lost)
        number, answer = await self._answered()
        if isinstance(answer, Failed):
            raise self._refused(answer.message, answer.problem or answer.message)
        known = self._read(answer)
        if self.known is not None and not self._same(known, self.known):
            self.line.tell(Unload(number))
            raise self._refused(
                "the files of the model have changed",
                "the files of the model have changed since it was first loaded; restart the "
                "gateway to serve the new ones",
            )
        self.known, self.problem, self.gone = known, "", False
        self._number = number
        return number

    async def _answered(self) -> tuple[int, Answer]:
        """By whichever process lives long enough."""
        while True:
            with contextlib.suppress(OSError, ProcessEnded):
                await self.line.connect()
                number, breaks = self.line.number(), self.line.breaks
                answer, _ = await self.line.ask(self._ask(number))
                # Else it ended right after it had answered.
                if breaks == self.line.breaks:
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
        self._number = None
        if self._closed or (self._loading is not None and not self._loading.done()):
            return
        self.problem, self.gone = _ENDED, True
        self._loading = asyncio.create_task(self._load())
        # What came of it is told by `problem`, whether anybody waits or not.
        self._loading.add_done_callback(_seen)


def raised(answer: Answer, name: str) -> Exception:
    """What an answer that is not the one hoped for raises: as it would have in this process."""
    from embedway_local.error import LocalError, NotNumbers

    if not isinstance(answer, Failed):
        return BadReply("the model process answered another question")
    match answer.kind:
        case "invalid":
            return ValueError(answer.message)
        case "device":
            if answer.rows:
                return NotNumbers(answer.message, answer.rows)
            return LocalError(answer.message)
        case "late":
            return DeadlineExceeded(answer.message)
        case "load" | "fault":
            return UpstreamFailed("the local runtime failed", upstream=name, detail=answer.message)


def _import_runtime() -> None:
    import embedway_local  # noqa: F401


def _seen(task: asyncio.Task[int]) -> None:
    if not task.cancelled():
        task.exception()
