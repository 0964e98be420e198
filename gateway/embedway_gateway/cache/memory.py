"""Keeps vectors in this process, within a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from embedway_gateway.cache.store import Notes
from embedway_gateway.metric import Metrics

__all__ = ["ENTRY_BYTES", "GHOST_BYTES", "Memory"]

# Beside the value's own bytes, at most: a key of 65 and the 33 of a value's object, a place in an
# OrderedDict that has just grown (116 by sys.getsizeof), one in the dict of uses (60), and what the
# allocator rounds up (38). A ghost has a key and a place. Measured with CPython 3.11 on 64 bits.
ENTRY_BYTES = 320
GHOST_BYTES = 210
# Of the bytes: for what was seen once.
_SMALL = 0.1
_MOST_USES = 3


class Memory:
    """
    S3-FIFO (Yang et al., SOSP 2023): what is new waits in a small queue, and goes on to the main
    one only if it is used there, or soon after it left. So texts that come once, as ingestion's do,
    never drive out what queries use. What is used stays in its place, unlike in an LRU, and goes
    round once more for each use, up to three.
    """

    def __init__(self, max_bytes: int, metrics: Metrics) -> None:
        self._most = max_bytes
        self._metrics = metrics
        self._small: OrderedDict[bytes, bytes] = OrderedDict()
        self._main: OrderedDict[bytes, bytes] = OrderedDict()
        self._ghosts: OrderedDict[bytes, None] = OrderedDict()
        self._uses: dict[bytes, int] = {}
        self._small_bytes = 0
        self.bytes = 0
        """All that is held, and what holding it takes."""
        self.notes: Notes = _Slips()

    def __len__(self) -> int:
        return len(self._small) + len(self._main)

    async def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values, in the order of the keys."""
        return [self._get(key) for key in keys]

    def put(self, entries: Sequence[tuple[bytes, bytes]]) -> None:
        """Keep these, and drop others for them."""
        evicted = 0
        for key, value in entries:
            if _cost(value) > self._most * _SMALL:
                # It would drive out all the rest.
                continue
            self._put(key, value)
            while self.bytes > self._most:
                evicted += self._evict()
        if evicted:
            self._metrics.cache_evictions.inc(evicted)
        self._metrics.cache_bytes.set(self.bytes)
        self._metrics.cache_entries.set(len(self))

    async def close(self) -> None:
        """Nothing is open."""

    def _get(self, key: bytes) -> bytes | None:
        value = self._main.get(key)
        if value is None:
            value = self._small.get(key)
        if value is not None:
            self._uses[key] = min(_MOST_USES, self._uses.get(key, 0) + 1)
        return value

    def _put(self, key: bytes, value: bytes) -> None:
        self._remove(key)
        if key in self._ghosts:
            del self._ghosts[key]
            self.bytes -= GHOST_BYTES
            self._main[key] = value
        else:
            self._small[key] = value
            self._small_bytes += _cost(value)
        self.bytes += _cost(value)

    def _remove(self, key: bytes) -> None:
        """Two callers may have missed the same text."""
        if (old := self._main.pop(key, None)) is not None:
            self.bytes -= _cost(old)
        elif (old := self._small.pop(key, None)) is not None:
            self.bytes -= _cost(old)
            self._small_bytes -= _cost(old)

    def _evict(self) -> int:
        """One step; how many entries it dropped."""
        if self._small and (self._small_bytes > self._most * _SMALL or not self._main):
            return self._evict_small()
        key, value = self._main.popitem(last=False)
        if uses := self._uses.pop(key, 0):
            self._main[key] = value
            if uses > 1:
                self._uses[key] = uses - 1
            return 0
        self.bytes -= _cost(value)
        return 1

    def _evict_small(self) -> int:
        key, value = self._small.popitem(last=False)
        self._small_bytes -= _cost(value)
        if self._uses.pop(key, 0):
            self._main[key] = value
            return 0
        self.bytes += GHOST_BYTES - _cost(value)
        self._ghosts[key] = None
        while len(self._ghosts) > len(self):
            self._ghosts.popitem(last=False)
            self.bytes -= GHOST_BYTES
        return 1


def _cost(value: bytes) -> int:
    return len(value) + ENTRY_BYTES


class _Slips:
    """Notes of one process, a few for each model."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}

    async def read(self, key: bytes) -> bytes | None:
        return self._values.get(key)

    async def exchange(self, key: bytes, old: bytes | None, new: bytes) -> bool:
        if self._values.get(key) != old:
            return False
        self._values[key] = new
        return True
