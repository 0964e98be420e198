"""A local model in this process: loaded and computed in threads, never in the event loop's way."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from embedway_gateway.runtime import Facts, Loads, require_unicode
from embedway_upstream import UpstreamFailed

if TYPE_CHECKING:
    from embedway_local import LocalEmbedder, LocalEmbedding

__all__ = ["InProcess", "in_process"]

_log = logging.getLogger("embedway.gateway")

_AGAIN = 30.0
# Calls that wait inside the runtime, which has its own pool of as many workers as cores, and takes
# a batch of each in turn. Long calls have threads of their own, and few: a short one waits behind
# one batch of each of them, and never for a thread.
_SHORT_CALLS = 16
_LONG_CALLS = 4
_SHORT = 16
# A call that nobody waits for any more ends after so many texts; the queue's calls have no more.
_SLICE = 256


class InProcess:
    """
    One embedder, whoever uses it. `open_` makes it; that may download, and so is done in a thread.

    A load that failed is tried again when a request comes, but not within 30 seconds.
    """

    def __init__(
        self,
        name: str,
        open_: Callable[[], LocalEmbedder],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._open = open_
        self._clock = clock
        self._short = ThreadPoolExecutor(_SHORT_CALLS, "embedway-engine")
        self._long = ThreadPoolExecutor(_LONG_CALLS, "embedway-engine-long")
        self._loading: asyncio.Task[LocalEmbedder] | None = None
        self._failed_at = 0.0
        self._embedder: LocalEmbedder | None = None
        self._closed = threading.Event()
        self.facts: Facts | None = None
        self.problem = "the model is being loaded"

    @property
    def gone(self) -> bool:
        """Never: it is this process."""
        return False

    async def load(self) -> Facts:
        """Loaded once, whoever asks first."""
        await self._loaded()
        assert self.facts is not None
        return self.facts

    async def encode(
        self,
        texts: Sequence[str],
        *,
        deadline: float | None = None,
    ) -> LocalEmbedding:
        """Embed the texts as they are, in a thread; who waits cancels at the deadline."""
        embedder = await self._loaded()
        given_up = threading.Event()
        work = partial(self._encode, embedder, texts, given_up)
        threads = self._short if len(texts) <= _SHORT else self._long
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, work)
        except asyncio.CancelledError:
            given_up.set()
            raise

    async def close(self) -> None:
        """Stop loading and working, after the texts that are being computed."""
        if self._loading is not None and not self._loading.done():
            self._loading.cancel()
        self._closed.set()
        for threads in (self._short, self._long):
            threads.shutdown(wait=False, cancel_futures=True)
        if self._embedder is not None:
            # It waits for what runs, which the event loop must not.
            await asyncio.to_thread(self._embedder.close)

    async def _loaded(self) -> LocalEmbedder:
        if self._embedder is not None:
            return self._embedder
        failed = self._loading is not None and self._loading.done()
        if self._loading is None or (failed and self._clock() - self._failed_at > _AGAIN):
            self._loading = asyncio.create_task(self._load())
        # Shielded: a caller that goes away does not stop the loading for the others.
        return await asyncio.shield(self._loading)

    async def _load(self) -> LocalEmbedder:
        started = self._clock()
        try:
            work = partial(_opened, self._open, self._closed)
            embedder, facts = await asyncio.get_running_loop().run_in_executor(self._short, work)
        except (ValueError, OSError, RuntimeError, ImportError) as error:
            self._failed_at = self._clock()
            self.problem = _told(error)
            _log.error("the local model %s cannot be loaded: %s", self.name, error)
            raise UpstreamFailed(
                "the local model could not be loaded", upstream=self.name, detail=str(error)
            ) from error
        self._embedder, self.facts, self.problem = embedder, facts, ""
        _log.info(
            "loaded %s on %s in %.1f s: %d dimensions, vector space %s",
            facts.model,
            facts.device,
            self._clock() - started,
            facts.dimensions,
            facts.space.fingerprint,
        )
        return embedder

    def _encode(
        self, embedder: LocalEmbedder, texts: Sequence[str], given_up: threading.Event
    ) -> LocalEmbedding:
        if len(texts) <= _SLICE:
            return embedder.encode(texts, input_type=None)
        import numpy as np

        from embedway_local import LocalEmbedding

        vectors = np.empty((len(texts), embedder.dimensions), dtype=np.float32)
        tokens = truncated = 0
        for start in range(0, len(texts), _SLICE):
            if given_up.is_set() or self._closed.is_set():
                raise RuntimeError("the call was given up")
            try:
                done = embedder.encode(texts[start : start + _SLICE], input_type=None)
            except ValueError:
                # With the text's place among all of them.
                require_unicode(texts)
                raise
            vectors[start : start + _SLICE] = done.vectors
            tokens += done.tokens
            truncated += done.truncated
        return LocalEmbedding(vectors, tokens, truncated)


def in_process(name: str, loads: Loads) -> InProcess:
    """The model as a configuration names it; nothing is loaded yet."""
    return InProcess(name, partial(_open_local, loads))


def _open_local(loads: Loads) -> LocalEmbedder:
    # Imported here: it costs 0.1 s, and a gateway without a local model never needs it.
    from embedway_local import LocalEmbedder

    return LocalEmbedder(
        loads.model,
        device=loads.device,
        max_tokens=loads.max_tokens,
        precision=loads.precision,
    )


def _opened(
    open_: Callable[[], LocalEmbedder], closed: threading.Event
) -> tuple[LocalEmbedder, Facts]:
    from embedway_local import LocalError

    try:
        embedder = open_()
    except LocalError as error:
        raise RuntimeError(str(error)) from error
    if closed.is_set():
        # Nobody is left who would close it.
        embedder.close()
        raise RuntimeError("it was closed while it was being loaded")
    facts = Facts(
        model=embedder.model,
        device=embedder.device,
        dimensions=embedder.dimensions,
        max_tokens=embedder.max_tokens,
        space=embedder.space,
        agreement=embedder.agreement.worst if embedder.agreement else None,
    )
    return embedder, facts


def _told(error: Exception) -> str:
    if isinstance(error, ImportError):
        return f'{error.name} is not installed: pip install "embedway[local]"'
    return next(iter(str(error).splitlines()), type(error).__name__)
