"""Keeps usage in a Redis server, for gateways on several machines."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial

from redis.exceptions import RedisError

from embedway_gateway.cache.store import Unavailable
from embedway_gateway.metric import Metrics
from embedway_gateway.redis_line import RedisLine
from embedway_gateway.usage.book import BookUnavailable
from embedway_gateway.usage.row import COUNTS, Row

__all__ = ["RedisBook"]

_PREFIX = "embedway:1:usage:"
_DAYS = f"{_PREFIX}days"
# A batch that is sent again after an outage is known for so long, in seconds: a week. One key of a
# process, not of a batch, of which each process sends one a second.
_MEMORY = 7 * 86400
# Neither a name of a key nor of a model holds it.
_BETWEEN = "\x1f"

# KEYS: the process; the list of days; a hash for each day. ARGV: seconds for the process; seconds
# for the days; which of its batches this is, counted from 1; the days; then the number of a day, a
# field and an amount, again and again.
_ADD = """
if tonumber(ARGV[3]) <= tonumber(redis.call('GET', KEYS[1]) or '0') then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'EX', ARGV[1])
local days = #KEYS - 2
for i = 1, days do redis.call('SADD', KEYS[2], ARGV[3 + i]) end
for i = 4 + days, #ARGV, 3 do
  redis.call('HINCRBY', KEYS[2 + ARGV[i]], ARGV[i + 1], ARGV[i + 2])
end
for i = 2, #KEYS do redis.call('EXPIRE', KEYS[i], ARGV[2]) end
return 1
"""


class RedisBook:
    """A hash a day, kept for `keep` seconds after the last use of it."""

    def __init__(
        self, url: str, metrics: Metrics, *, timeout: float, connections: int, keep: float
    ) -> None:
        self._keep = int(keep)
        self._line = RedisLine(
            url,
            timeout=timeout,
            connections=connections,
            failing="the Redis of the usage failed (%s), what is used is remembered meanwhile",
            again="the Redis of the usage answers again",
            # Of what could not be written the tally counts each time.
            failed=lambda operation: metrics.usage_errors.inc() if operation == "read" else None,
        )
        self._process = secrets.token_hex(12)
        self._batch = ""
        self._number = 0
        self._script = self._line.redis.register_script(_ADD)

    async def prepare(self) -> None:
        """Nothing is needed."""

    async def add(self, rows: Sequence[Row], *, batch: str) -> None:
        """
        Add them all in one script, unless this batch was added before. Batches come one by one: one
        is sent again until it is added, and only then the next.
        """
        if batch != self._batch:
            self._batch, self._number = batch, self._number + 1
        days = sorted({row.day for row in rows})
        arguments: list[str | int] = [_MEMORY, self._keep, self._number, *days]
        for row in rows:
            for name in COUNTS:
                if amount := getattr(row, name):
                    field = _BETWEEN.join((row.key, row.model, name))
                    arguments += (days.index(row.day) + 1, field, amount)
        keys = [f"{_PREFIX}process:{self._process}", _DAYS, *(_PREFIX + day for day in days)]
        try:
            await self._line.call("write", partial(self._script, keys=keys, args=arguments))
        except Unavailable:
            raise BookUnavailable("the Redis of the usage does not answer") from None

    async def read(self, *, since: date | None = None, until: date | None = None) -> list[Row]:
        """The rows of these days."""
        first, last = str(since or "0000"), str(until or "9999")
        rows: list[Row] = []
        try:
            for day in await self._line.call("read", self._days):
                if first <= day <= last:
                    whole = await self._line.call("read", partial(self._day, day))
                    rows += _rows(day, whole)
        except (Unavailable, RedisError):
            raise BookUnavailable("the Redis of the usage does not answer") from None
        return rows

    async def close(self) -> None:
        """Let go of the connections."""
        await self._line.close()

    async def _days(self) -> list[str]:
        # Not by SCAN, which looks at every key of the server.
        found = await self._line.redis.smembers(_DAYS)
        return sorted(day.decode() if isinstance(day, bytes) else str(day) for day in found)

    async def _day(self, day: str) -> Mapping[bytes | str, bytes | str]:
        return await self._line.redis.hgetall(_PREFIX + day)


def _rows(day: str, fields: Mapping[bytes | str, bytes | str]) -> list[Row]:
    found: dict[tuple[str, str], dict[str, int]] = {}
    for field, amount in fields.items():
        text = field.decode() if isinstance(field, bytes) else field
        key, model, name = text.split(_BETWEEN)
        found.setdefault((key, model), {})[name] = int(amount)
    return [
        Row(day, key, model, *(counts.get(name, 0) for name in COUNTS))
        for (key, model), counts in sorted(found.items())
    ]
