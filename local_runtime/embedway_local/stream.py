"""Embeds any number of texts in constant memory: texts in, vectors out, in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

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


def stream(texts: Iterable[str], embed: Embed, *, window: int) -> Iterator[NDArray[np.float32]]:
    """
    One vector a text, in order; at most three windows of `window` texts are in memory.

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
        while block := list(islice(iterator, size)):
            waiting.append(pool.submit(embed, block, place, lambda: stopped))
            place += len(block)
            size = min(2 * size, window)
            if len(waiting) > _AT_ONCE:
                yield from _here(pid, waiting.popleft()).result()
        while waiting:
            yield from _here(pid, waiting.popleft()).result()
    finally:
        stopped = True
        pool.shutdown(wait=os.getpid() == pid, cancel_futures=True)


def _here(pid: int, future: Future[NDArray[np.float32]]) -> Future[NDArray[np.float32]]:
    """The future, unless this is a child of the process that computes it, which waits for ever."""
    if os.getpid() != pid:
        raise RuntimeError("a stream of vectors cannot go on in a forked child; begin it there")
    return future
