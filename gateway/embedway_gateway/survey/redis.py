"""Says what is wrong with a Redis server, without a word of its address that may be secret."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    InvalidResponse,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from embedway_gateway.config.redis import RedisAddress
from embedway_gateway.redis_line import make_pool
from embedway_gateway.survey.finding import Finding
from embedway_gateway.wire.trouble import why

__all__ = ["examine_redis"]

# Below the prefix of all that is ours, and gone in a second.
_KEY = "embedway:1:check"
_GONE = 1000


async def examine_redis(
    url: str, sections: Mapping[str, RedisAddress], *, seconds: float
) -> Finding:
    """Connect, sign in and write; `sections` of the configuration name the server at `url`."""
    finding = Finding(model="", upstream=", ".join(sections), engine="redis")
    redis = Redis.from_pool(make_pool(url, seconds, 1))
    try:
        async with asyncio.timeout(seconds):
            await redis.set(_KEY, 1, px=_GONE)
            spent = await _round_trip(redis)
    except (RedisError, OSError, TimeoutError) as error:
        met = list(_chain(error))
        if answered := _answered(met, error, url):
            return replace(finding, reachable=True, problem=answered)
        return replace(finding, reachable=False, problem=_unanswered(met, url, seconds))
    finally:
        await redis.aclose()
    return replace(finding, reachable=True, notes=tuple(_slow(sections, spent)))


async def _round_trip(redis: Redis) -> float:
    """Seconds, connecting included; the first connection also loads what connects."""
    await redis.connection_pool.disconnect()
    started = time.perf_counter()
    await redis.ping()
    return time.perf_counter() - started


def _slow(sections: Mapping[str, RedisAddress], spent: float) -> Iterator[str]:
    for section, stated in sections.items():
        if spent > stated.timeout:
            yield (
                f"to connect and to answer took {spent * 1000:.0f} ms, and `timeout:` of {section} "
                f"is {stated.timeout * 1000:g} ms: raise it, or use a server that is nearer"
            )


def _answered(met: Sequence[BaseException], error: Exception, url: str) -> str:
    """What a server said; empty where none said anything."""
    if any(isinstance(one, AuthenticationError) for one in met):
        return _of_login(stated=urlsplit(url).password is not None)
    for kind, words in _ANSWERS:
        if any(isinstance(one, kind) for one in met):
            return words
    if any("Invalid Database" in str(one) or "DB index" in str(one) for one in met):
        return "it has no database of that number: correct the number at the end of `url:`"
    if isinstance(error, ResponseError):
        return f"it refuses what the gateway does ({type(error).__name__}); its own log says why"
    return ""


def _unanswered(met: Sequence[BaseException], url: str, seconds: float) -> str:
    tls = urlsplit(url).scheme == "rediss"
    below = next((one for one in met if not isinstance(one, RedisError)), None)
    if isinstance(below, TimeoutError):
        speaks = "that it runs, and speaks TLS" if tls else "and that it runs"
        return (
            f"it did not answer within {seconds:g} seconds; check host and port in `url:`, what "
            f"firewalls let through, {speaks}"
        )
    if isinstance(below, OSError) and not isinstance(below, ConnectionResetError):
        return f"it cannot be reached: {why(below, tls=tls)}"
    other = "redis://, if it speaks no TLS" if tls else "rediss://, if it speaks TLS"
    return f"it closes the connection; check host and port in `url:`, and write {other}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was made of."""
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__ or one.__context__


def _of_login(*, stated: bool) -> str:
    if stated:
        return (
            "it refuses the user or the password in `url:`; correct them, with other characters "
            "than letters and digits as %40"
        )
    return "it asks for a password: write redis://:password@host, or redis://user:password@host"


_ANSWERS: tuple[tuple[type[RedisError], str], ...] = (
    (BusyLoadingError, "it is still loading its data; check again in a moment"),
    (ReadOnlyError, "it is a replica and takes no writes: name the primary in `url:`"),
    (OutOfMemoryError, "its memory is full: raise maxmemory, or set maxmemory-policy allkeys-lru"),
    (
        NoPermissionError,
        "its user may not write keys of embedway: ACL SETUSER gives it ~embedway:* and +@all",
    ),
    (MovedError, "it is one server of a Redis cluster: name a single server in `url:`"),
    (InvalidResponse, "what answers there is no Redis; check host and port in `url:`"),
)
