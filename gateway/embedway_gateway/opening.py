"""Loads a local model in a thread: once, whoever asks first."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Generic, Protocol, TypeVar

from embedway_upstream import EmbeddingError, UpstreamFailed

__all__ = ["Opening"]

_log = logging.getLogger("embedway.gateway")

_AGAIN = 30.0


class _Closable(Protocol):
    def close(self) -> None: ...


Opened = TypeVar("Opened", bound=_Closable)


class Opening(Generic[Opened]):
    """
    `open_` makes the model, and may download; `tell` describes it for the log. A load that failed
    is tried again when somebody asks, but not within 30 seconds.
    """

    def __init__(
        self,
        name: str,
        open_: Callable[[], Opened],
        threads: ThreadPoolExecutor,
        *,
        tell: Callable[[Opened], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._open = open_
        self._threads = threads
        self._tell = tell
        self._clock = clock
        self._loading: asyncio.Task[Opened] | None = None
        self._failed_at = 0.0
        self.opened: Opened | None = None
        """The model, when it was loaded."""
        self.problem = "the model is being loaded"
        """Why it does not serve; empty when it does."""
        self.closed = threading.Event()

    async def get(self) -> Opened:
        """The model. Raises `UpstreamFailed` where it cannot be loaded, and once it is closed."""
        if self.opened is not None:
            return self.opened
        if self.closed.is_set():
            raise self._unloaded()
        failed = self._loading is not None and self._loading.done()
        if self._loading is None or (failed and self._clock() - self._failed_at > _AGAIN):
            self._loading = asyncio.create_task(self._load())
        with self.until_closed():
            # Shielded: a caller that goes away does not stop the loading for the others.
            try:
                return await asyncio.shield(self._loading)
            except EmbeddingError as error:
                # Others have it too, perhaps as upstreams of other models.
                raise error.own() from error

    @contextmanager
    def until_closed(self) -> Iterator[None]:
        """
        Around waiting for a thread: what `close` cancels raises `UpstreamFailed`, since a caller
        that nobody cancelled would else end without a word.
        """
        try:
            yield
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self.closed.is_set() or task is None or task.cancelling():
                raise
            raise self._unloaded() from None

    async def close(self) -> None:
        """Stop loading, and close the model after what is being computed."""
        if self._loading is not None and not self._loading.done():
            self._loading.cancel()
        self.closed.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self.opened is not None:
            # It waits for what runs, which the event loop must not.
            await asyncio.to_thread(self.opened.close)

    async def _load(self) -> Opened:
        started = self._clock()
        work = self._threads.submit(partial(_opened, self._open, self.closed))
        try:
            opened = await asyncio.wrap_future(work)
        except asyncio.CancelledError:
            # It may have been done just before it was closed.
            work.add_done_callback(_discard)
            raise
        except (ValueError, OSError, RuntimeError, ImportError) as error:
            self._failed_at = self._clock()
            self.problem = _told(error)
            _log.error("the local model %s cannot be loaded: %s", self._name, error)
            raise UpstreamFailed(
                "the local model could not be loaded", upstream=self._name, detail=str(error)
            ) from error
        self.opened, self.problem = opened, ""
        _log.info("loaded %s; it took %.1f s", self._tell(opened), self._clock() - started)
        return opened

    def _unloaded(self) -> UpstreamFailed:
        return UpstreamFailed(
            "the local runtime failed", upstream=self._name, detail="the model was unloaded"
        )


def _discard(work: Future[Opened]) -> None:
    if not work.cancelled() and work.exception() is None:
        work.result().close()


def _opened(open_: Callable[[], Opened], closed: threading.Event) -> Opened:
    from embedway_local import LocalError

    try:
        opened = open_()
    except LocalError as error:
        raise RuntimeError(str(error)) from error
    if closed.is_set():
        # Nobody is left who would close it.
        opened.close()
        raise RuntimeError("it was closed while it was being loaded")
    return opened


def _told(error: Exception) -> str:
    if isinstance(error, ImportError):
        return f'{error.name} is not installed: pip install "embedway[local]"'
    return next(iter(str(error).splitlines()), type(error).__name__)
