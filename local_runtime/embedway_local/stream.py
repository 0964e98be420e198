"""Embeds any number of texts in constant memory: texts in, vectors out, in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeAlias

from embedway_local.batch import take

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Embed", "stream"]

Embed: TypeAlias = Callable[[list[str], int, Callable[[], bool]], "NDArray[np.float32]"]
"""
Embeds texts; also given are the place of the first, and what says whether to stop.

What it returns after that is thrown away.
"""

# Windows being embedded at once. While the last batches of one are computed, and while our caller
# is busy with the vectors of one, the workers go on with the next.
_AT_ONCE = 2
# The first window is small, so that the first vector comes soon.
_FIRST = 128
# A window of long texts ends before it has all of its number. Texts of 1,000 do not reach it.
_CHARACTERS = 2 * 1024 * 1024


def stream(texts: Iterable[str], embed: Embed, *, window: int) -> Iterator[NDArray[np.float32]]:
    """
    One vector a text, in order; at most three windows are in memory, each of `window` texts
    or, of long ones, some 2 million characters.

    `texts` is drawn from in the caller's thread, and only when a vector is asked for. An error
    ends the iterator; so does closing it, after which nothing is computed any more.
    """
    iterator = iter(texts)
    pid = os.getpid()
    waiting: deque[Future[NDArray[np.float32]]] = deque()
    stopped = False
    size, place = min(_FIRST, window), 0
    pool = ThreadPoolExecutor(_AT_ONCE, "embedway-stream")
    try:
        while block := take(iterator, size, _CHARACTERS):
            waiting.append(pool.submit(embed, block, place, lambda: stopped))
            place += len(block)
            size = min(2 * size, window)
            if len(waiting) > _AT_ONCE:
                yield from _rows(pid, waiting.popleft())
        while waiting:
            yield from _rows(pid, waiting.popleft())
    finally:
        stopped = True
        pool.shutdown(wait=os.getpid() == pid, cancel_futures=True)


def _rows(pid: int, future: Future[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """The vectors; in a child of the process that computes them, which waits for ever, an error."""
    if os.getpid() != pid:
        raise RuntimeError("a stream of vectors cannot go on in a forked child; begin it there")
    for row in future.result():
        # A row that the caller keeps would otherwise keep all of its window.
        yield row.copy()
