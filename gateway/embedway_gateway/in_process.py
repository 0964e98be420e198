"""A local model in this process: loaded and computed in threads, never in the event loop's way."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from embedway_gateway.opening import Opening
from embedway_gateway.runtime import Facts, Loads, require_unicode

if TYPE_CHECKING:
    from embedway_local import LocalEmbedder, LocalEmbedding

__all__ = ["InProcess", "in_process"]

# Calls that wait inside the runtime, which has its own pool of as many workers as cores, and takes
# a batch of each in turn. Long calls have threads of their own, and few: a short one waits behind
# one batch of each of them, and never for a thread.
_SHORT_CALLS = 16
_LONG_CALLS = 4
_SHORT = 16
# A call that nobody waits for any more ends after so many texts; the queue's calls have no more.
_SLICE = 256


class InProcess:
    """One embedder, whoever uses it. `open_` makes it, and may download."""

    def __init__(
        self,
        name: str,
        open_: Callable[[], LocalEmbedder],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._short = ThreadPoolExecutor(_SHORT_CALLS, "embedway-engine")
        self._long = ThreadPoolExecutor(_LONG_CALLS, "embedway-engine-long")
        self._opening = Opening(name, open_, self._short, tell=_told, clock=clock)
        self._facts: Facts | None = None

    @property
    def facts(self) -> Facts | None:
        """None until it was loaded."""
        if self._facts is None and self._opening.opened is not None:
            self._facts = _facts(self._opening.opened)
        return self._facts

    @property
    def problem(self) -> str:
        """Why it does not serve; empty when it does."""
        return self._opening.problem

    @property
    def gone(self) -> bool:
        """Never: it is this process."""
        return False

    async def load(self) -> Facts:
        """Loaded once, whoever asks first."""
        await self._opening.get()
        assert self.facts is not None
        return self.facts

    async def encode(
        self,
        texts: Sequence[str],
        *,
        deadline: float | None = None,
    ) -> LocalEmbedding:
        """Embed the texts as they are, in a thread; who waits cancels at the deadline."""
        embedder = await self._opening.get()
        given_up = threading.Event()
        work = partial(self._encode, embedder, texts, given_up)
        threads = self._short if len(texts) <= _SHORT else self._long
        try:
            with self._opening.until_closed():
                return await asyncio.get_running_loop().run_in_executor(threads, work)
        except asyncio.CancelledError:
            given_up.set()
            raise

    async def close(self) -> None:
        """Stop loading and working, after the texts that are being computed."""
        self._long.shutdown(wait=False, cancel_futures=True)
        await self._opening.close()

    def _encode(
        self, embedder: LocalEmbedder, texts: Sequence[str], given_up: threading.Event
    ) -> LocalEmbedding:
        if len(texts) <= _SLICE:
            return embedder.encode(texts, input_type=None)
        import numpy as np

        from embedway_local import LocalEmbedding
        from embedway_local.row import counted_from

        vectors = np.empty((len(texts), embedder.dimensions), dtype=np.float32)
        tokens = truncated = 0
        for start in range(0, len(texts), _SLICE):
            if given_up.is_set() or self._opening.closed.is_set():
                raise RuntimeError("the call was given up")
            try:
                with counted_from(start):
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


def _facts(embedder: LocalEmbedder) -> Facts:
    return Facts(
        model=embedder.model,
        device=embedder.device,
        dimensions=embedder.dimensions,
        max_tokens=embedder.max_tokens,
        space=embedder.space,
        agreement=embedder.agreement.worst if embedder.agreement else None,
    )


def _told(embedder: LocalEmbedder) -> str:
    return (
        f"{embedder.model} on {embedder.device}: {embedder.dimensions} dimensions, "
        f"vector space {embedder.space.fingerprint}"
    )
