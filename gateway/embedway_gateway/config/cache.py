"""Where vectors may be kept, and what that becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from embedway_gateway.cache.memory import Memory
from embedway_gateway.config.strict import Strict
from embedway_gateway.config.value import Duration, Size

if TYPE_CHECKING:
    from embedway_gateway.cache.store import Store
    from embedway_gateway.metric import Metrics

__all__ = ["CacheConfig", "MemoryCacheConfig", "RedisCacheConfig", "make_store"]


class MemoryCacheConfig(Strict):
    """In the process; each worker has its own."""

    type: Literal["memory"]
    max_bytes: Size = 256 * 1024 * 1024
    """All that it takes: a text costs four bytes a dimension, and about 330 more."""


class RedisCacheConfig(Strict):
    """In a Redis server, which gateways may share."""

    type: Literal["redis"]
    url: SecretStr
    """
    `redis://[[user]:password@]host[:port][/database]`, or `rediss://` for TLS, which belongs
    between machines that do not share a trusted network; write `"${REDIS_URL}"`.
    """
    ttl: Duration = 7 * 86400.0
    """How long a vector stays after it was embedded."""
    timeout: Duration = 0.05
    """For one round trip, connecting included."""
    connections: int = Field(default=16, ge=1)
    """At once, at most, of each worker."""

    @model_validator(mode="after")
    def _is_an_address(self) -> Self:
        # Its parts are never shown: one of them is a password.
        if not _is_redis(self.url.get_secret_value()):
            raise ValueError(
                "url must be redis://[[user]:password@]host[:port][/database], or rediss:// for "
                "TLS; other characters than letters and digits in a password are written as %40"
            )
        return self


def _is_redis(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    database = parts.path.removeprefix("/")
    return (
        parts.scheme in {"redis", "rediss"}
        and bool(parts.hostname)
        and not (parts.query or parts.fragment)
        and (not database or (database.isascii() and database.isdecimal()))
    )


CacheConfig = Annotated[MemoryCacheConfig | RedisCacheConfig, Field(discriminator="type")]


def make_store(config: MemoryCacheConfig | RedisCacheConfig, metrics: Metrics) -> Store:
    """The store that a configuration describes. Nothing is connected yet."""
    if isinstance(config, MemoryCacheConfig):
        return Memory(config.max_bytes, metrics)
    # Imported here: it is an extra of its own.
    from embedway_gateway.cache.redis import RedisStore

    return RedisStore(
        config.url.get_secret_value(),
        metrics,
        ttl=config.ttl,
        timeout=config.timeout,
        connections=config.connections,
    )
