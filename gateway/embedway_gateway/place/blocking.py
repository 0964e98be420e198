"""An endpoint for callers that have threads and no event loop, such as MTEB's tasks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embedway_gateway.place.error import PlaceError
from embedway_gateway.place.identity import identity
from embedway_gateway.place.place import Place, opened
from embedway_gateway.place.rows import embed_rows
from embedway_upstream.embedding import InputType

__all__ = ["Blocking", "blocking"]


class Blocking:
    """Embeds from any thread, while the event loop runs in another."""

    def __init__(self, place: Place, loop: asyncio.AbstractEventLoop) -> None:
        self.place = place
        self._loop = loop

    def embed(
        self, texts: Iterable[str], *, input_type: InputType = "document"
    ) -> NDArray[np.float32]:
        """
        float32 (n, d). Raises an `EmbeddingError`, or `PlaceError` where a text is too long:
        a task's score needs all of them.
        """
        whole = list(texts)
        work = embed_rows(self.place, whole, input_type=input_type)
        rows = asyncio.run_coroutine_threadsafe(work, self._loop).result()
        refused = int((~rows.present).sum())
        if refused:
            raise PlaceError(
                f"{self.place.label} refused {refused:,} of {len(whole):,} texts as too long; let "
                "the server cut them (TEI: --auto-truncate), as other models do in this test"
            )
        return rows.vectors

    def identity(self) -> str:
        """By what its model is known again; raises an `EmbeddingError` where it does not answer."""
        return asyncio.run_coroutine_threadsafe(identity(self.place), self._loop).result()


@contextmanager
def blocking(
    written: str, *, engine: str = "openai", config: Path | None = None
) -> Iterator[Blocking]:
    """The endpoint, until the block ends; raises what `opened` does."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="embedway-place", daemon=True)
    thread.start()
    try:
        opening = opened(written, engine=engine, config=config)
        place = asyncio.run_coroutine_threadsafe(opening.__aenter__(), loop).result()
        try:
            yield Blocking(place, loop)
        finally:
            closing = opening.__aexit__(None, None, None)
            asyncio.run_coroutine_threadsafe(closing, loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
