"""Where vectors may be kept, and what that becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from embedway_gateway.cache.memory import Memory
from embedway_gateway.config.redis import RedisAddress
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
    isolate: bool = False
    """
    Whether each API key has a cache of its own: nobody learns from the time of an answer what
    others have embedded.
    """


class RedisCacheConfig(RedisAddress):
    """In a Redis server, which gateways may share."""

    type: Literal["redis"]
    ttl: Duration = 7 * 86400.0
    """How long a vector stays after it was embedded."""
    isolate: bool = False
    """Whether each API key has a cache of its own."""


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
