"""Keeps vectors in a Redis server, for all gateways that share it and across their restarts."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from embedway_gateway.cache.store import Notes, Unavailable
from embedway_gateway.cache.value import seal, unseal
from embedway_gateway.metric import Metrics
from embedway_gateway.redis_line import RedisLine

__all__ = ["RedisStore"]

_PREFIX = b"embedway:1:"
# In one command: of the largest vectors 2 MB, which a slow network brings in time.
_AT_ONCE = 128
# That wait to be written.
_MOST_BYTES = 32 * 1024 * 1024
# Notes stay for longer than any entry that was written since they were last read.
_LONGER = 3600.0

_EXCHANGE = """
local now = redis.call('GET', KEYS[1])
if (now or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""


class RedisStore:
    """
    Reads in one round trip, writes after the answer. A server that fails, or does not answer within
    `timeout` seconds, is left alone for a second, and up to 30 if it stays so; what is to be
    written meanwhile is dropped.
    """

    def __init__(
        self,
        url: str,
        metrics: Metrics,
        *,
        ttl: float,
        timeout: float,
        connections: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ttl = max(1, int(ttl * 1000))
        self._metrics = metrics
        self._line = RedisLine(
            url,
            timeout=timeout,
            connections=connections,
            failing="the cache's Redis failed (%s), requests go without it",
            again="the cache's Redis answers again",
            failed=lambda operation: metrics.cache_errors.labels(operation).inc(),
            clock=clock,
        )
        self._redis = self._line.redis
        self._waiting: deque[tuple[bytes, bytes]] = deque()
        self._waiting_bytes = 0
        self._writing: asyncio.Task[None] | None = None
        self.notes: Notes = _RedisNotes(self._line, self._ttl + int(_LONGER * 1000))

    async def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values, in the order of the keys."""
        found: list[bytes | None] = []
        for start in range(0, len(keys), _AT_ONCE):
            part = keys[start : start + _AT_ONCE]
            read = partial(self._redis.mget, [_PREFIX + key for key in part])
            try:
                values = await self._line.call("read", read)
            except Unavailable:
                break
            if not isinstance(values, list) or len(values) != len(part):
                # The answer to something else.
                self._metrics.cache_errors.labels("broken").inc()
                break
            found += [self._opened(key, one) for key, one in zip(part, values, strict=True)]
        return found + [None] * (len(keys) - len(found))

    def put(self, entries: Sequence[tuple[bytes, bytes]]) -> None:
        """Write these soon, or drop them when too much waits already."""
        for key, value in entries:
            if self._waiting_bytes + len(value) > _MOST_BYTES:
                self._metrics.cache_errors.labels("dropped").inc()
                continue
            self._waiting.append((key, value))
            self._waiting_bytes += len(value)
        if self._waiting and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self._write())

    async def written(self) -> None:
        """Wait until nothing waits to be written."""
        if self._writing is not None:
            await asyncio.wait([self._writing])

    async def close(self) -> None:
        """Write what waits, if that is quick, and let go of the connections."""
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=1.0)
            self._writing.cancel()
            await asyncio.wait([self._writing])
        await self._line.close()

    def _opened(self, key: bytes, sealed: object) -> bytes | None:
        if sealed is None:
            return None
        value = unseal(key, sealed)
        if value is None:
            self._metrics.cache_errors.labels("broken").inc()
        return value

    async def _write(self) -> None:
        while self._waiting:
            pipe = self._redis.pipeline(transaction=False)
            for _ in range(min(_AT_ONCE, len(self._waiting))):
                key, value = self._waiting.popleft()
                self._waiting_bytes -= len(value)
                pipe.set(_PREFIX + key, seal(key, value), px=self._ttl)
            try:
                answers = await self._line.call(
                    "write", partial(pipe.execute, raise_on_error=False)
                )
            except Unavailable:
                self._waiting.clear()
                self._waiting_bytes = 0
                return
            # A server without room refuses to write, but can be read.
            if refused := sum(isinstance(one, Exception) for one in answers):
                self._metrics.cache_errors.labels("write").inc(refused)


class _RedisNotes:
    """Values that are exchanged by a script, which no other command can come between."""

    def __init__(self, line: RedisLine, ttl: int) -> None:
        self._line = line
        self._redis = line.redis
        self._ttl = ttl

    async def read(self, key: bytes) -> bytes | None:
        pipe = self._redis.pipeline(transaction=False)
        pipe.get(_PREFIX + key)
        pipe.pexpire(_PREFIX + key, self._ttl)
        value = (await self._line.call("note", pipe.execute))[0]
        return value if isinstance(value, bytes) else None

    async def exchange(self, key: bytes, old: bytes | None, new: bytes) -> bool:
        pipe = self._redis.pipeline(transaction=False)
        pipe.eval(_EXCHANGE, 1, _PREFIX + key, old or b"", new, self._ttl)
        return bool((await self._line.call("note", pipe.execute))[0] == 1)
