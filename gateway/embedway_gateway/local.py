"""The in-process runtime as an upstream: loaded off the event loop, and never in its way."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from embedway_upstream import (
    EmbeddingRequest,
    EmbeddingResponse,
    InvalidRequest,
    UpstreamFailed,
    Usage,
)
from embedway_upstream.check import check

if TYPE_CHECKING:
    from embedway_local import LocalEmbedder, LocalEmbedding

__all__ = ["Local", "Runtime"]

_log = logging.getLogger("embedway.gateway")

# Calls that wait inside the runtime; it has its own pool of as many workers as cores.
_CALLERS = 16
_AGAIN = 30.0


class Runtime:
    """
    One embedder, whoever uses it. `open` makes it; that may download, and so is done in a thread.

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
        self._threads = ThreadPoolExecutor(_CALLERS, "embedway-engine")
        self._loading: asyncio.Task[LocalEmbedder] | None = None
        self._failed_at = 0.0
        self.embedder: LocalEmbedder | None = None
        self.problem = "the model is being loaded"
        """Why it does not serve; empty when it does."""

    async def load(self) -> LocalEmbedder:
        """The embedder, loaded once, whoever asks first."""
        if self.embedder is not None:
            return self.embedder
        failed = self._loading is not None and self._loading.done()
        if self._loading is None or (failed and self._clock() - self._failed_at > _AGAIN):
            self._loading = asyncio.create_task(self._load())
        # Shielded: a caller that goes away does not stop the loading for the others.
        return await asyncio.shield(self._loading)

    async def encode(self, texts: Sequence[str]) -> LocalEmbedding:
        """Embed the texts as they are, in a thread."""
        embedder = await self.load()
        encode = partial(embedder.encode, texts, input_type=None)
        return await asyncio.get_running_loop().run_in_executor(self._threads, encode)

    async def close(self) -> None:
        """Stop loading and working."""
        if self._loading is not None and not self._loading.done():
            self._loading.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self.embedder is not None:
            self.embedder.close()

    async def _load(self) -> LocalEmbedder:
        from embedway_local import LocalError

        started = self._clock()
        try:
            embedder = await asyncio.get_running_loop().run_in_executor(self._threads, self._open)
        except (LocalError, ValueError, OSError, RuntimeError, ImportError) as error:
            self._failed_at = self._clock()
            self.problem = _told(error)
            _log.error("the local model %s cannot be loaded: %s", self.name, error)
            raise UpstreamFailed(
                "the local model could not be loaded", upstream=self.name, detail=str(error)
            ) from error
        self.embedder, self.problem = embedder, ""
        _log.info(
            "loaded %s on %s in %.1f s: %d dimensions, vector space %s",
            embedder.model,
            embedder.device,
            self._clock() - started,
            embedder.dimensions,
            embedder.space.fingerprint,
        )
        return embedder


class Local:
    """Engine `local`: a runtime under an upstream's name, and with the size that it is to have."""

    def __init__(self, name: str, runtime: Runtime, *, dimensions: int | None) -> None:
        self.name = name
        self.runtime = runtime
        self._dimensions = dimensions

    @property
    def embedder(self) -> LocalEmbedder | None:
        """None while it is not loaded."""
        return self.runtime.embedder

    @property
    def problem(self) -> str:
        """Why it does not serve; empty when it does."""
        return self.runtime.problem

    async def load(self) -> LocalEmbedder:
        """The embedder, loaded once, whoever asks first."""
        return await self.runtime.load()

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """Embed the inputs as they are; prompts were put in place above."""
        from embedway_local import LocalError

        try:
            done = await self.runtime.encode(request.inputs)
        except ValueError as error:
            raise InvalidRequest(str(error), param="input", upstream=self.name) from None
        except (LocalError, RuntimeError) as error:
            raise UpstreamFailed(
                "the local runtime failed", upstream=self.name, detail=str(error)
            ) from error
        response = EmbeddingResponse(
            model=request.model,
            vectors=done.vectors,
            usage=Usage(done.tokens, done.tokens),
            served_by=self.name,
            truncated=done.truncated,
        )
        return check(response, request, self._dimensions)

    async def close(self) -> None:
        """Stop loading and working."""
        await self.runtime.close()


def _told(error: Exception) -> str:
    if isinstance(error, ImportError):
        return f'{error.name} is not installed: pip install "embedway[local]"'
    return next(iter(str(error).splitlines()), type(error).__name__)
