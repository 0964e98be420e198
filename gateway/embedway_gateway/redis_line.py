"""Asks a Redis server, and leaves it alone for a while once it fails."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from embedway_gateway.cache.breaker import Breaker
from embedway_gateway.cache.store import Unavailable

__all__ = ["RedisLine", "make_pool"]

_log = logging.getLogger("embedway.gateway")

T = TypeVar("T")


class RedisLine:
    """
    A server that fails, or does not answer within `timeout` seconds, is left alone for a second,
    and up to 30 if it stays so. The log is then told `failing`, with the kind of the error, and
    later `again`; `failed` counts each operation that failed.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        connections: int,
        failing: str,
        again: str,
        failed: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeout = timeout
        self._failing = failing
        self._again = again
        self._count = failed
        self._breaker = Breaker(clock=clock)
        self.redis = Redis.from_pool(make_pool(url, timeout, connections))

    async def call(self, operation: str, command: Callable[[], Awaitable[T]]) -> T:
        """What the server answers, or `Unavailable`: nothing else is raised."""
        turn = self._breaker.enter()
        if turn is None:
            raise Unavailable
        try:
            # Around it all: waiting for a connection, opening it, signing in.
            async with asyncio.timeout(self._timeout):
                answer = await command()
        except (RedisError, OSError, TimeoutError) as error:
            self._failed(turn, operation, error)
            # Without the cause: its words may be the server's.
            raise Unavailable from None
        except BaseException:
            self._breaker.left(turn)
            raise
        if self._breaker.succeeded(turn):
            _log.info(self._again)
        return answer

    async def close(self) -> None:
        """Let go of the connections."""
        await self.redis.aclose()

    def _failed(self, turn: int, operation: str, error: Exception) -> None:
        self._count(operation)
        if self._breaker.closed:
            _log.warning(self._failing, type(error).__name__)
        self._breaker.failed(turn)


def make_pool(url: str, timeout: float, connections: int) -> BlockingConnectionPool:
    """Connections as the gateway makes them; `timeout` is in seconds. Nothing is connected yet."""
    options: dict[str, object] = {}
    if urlsplit(url).scheme == "rediss":
        # Not the default of all versions.
        options = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
    return BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        # Our own is around it.
        timeout=None,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        # The new one is no quicker here, and says hello first.
        protocol=2,
        **options,
    )
