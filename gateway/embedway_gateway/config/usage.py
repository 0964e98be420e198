"""Where it is kept who used how much."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from embedway_gateway.config.redis import RedisAddress
from embedway_gateway.config.strict import Strict
from embedway_gateway.config.value import Duration
from embedway_gateway.usage.sqlite import SQLiteBook

if TYPE_CHECKING:
    from embedway_gateway.config.schema import Config
    from embedway_gateway.metric import Metrics
    from embedway_gateway.usage.book import Book

__all__ = [
    "NoUsageConfig",
    "RedisUsageConfig",
    "SQLiteUsageConfig",
    "UsageConfig",
    "make_book",
    "usage_of",
]


class SQLiteUsageConfig(Strict):
    """In a file, which the workers of one machine share."""

    type: Literal["sqlite"]
    path: Path | None = None
    """
    None is `usage.sqlite` beside the file of keys, or without one in the working directory.
    """


class RedisUsageConfig(RedisAddress):
    """In a Redis server, which gateways may share."""

    type: Literal["redis"]
    timeout: Duration = 1.0
    """For one round trip, connecting included."""
    keep: Duration = 400 * 86400.0
    """How long a day stays after its last change."""


class NoUsageConfig(Strict):
    """Nowhere."""

    type: Literal["none"]


UsageConfig = Annotated[
    SQLiteUsageConfig | RedisUsageConfig | NoUsageConfig, Field(discriminator="type")
]


def usage_of(config: Config) -> SQLiteUsageConfig | RedisUsageConfig | None:
    """Where a gateway keeps it: in a file, as soon as there are callers to tell apart."""
    if config.usage is None:
        return SQLiteUsageConfig(type="sqlite") if config.server.guarded else None
    return None if isinstance(config.usage, NoUsageConfig) else config.usage


def make_book(
    usage: SQLiteUsageConfig | RedisUsageConfig, keys: Path | None, metrics: Metrics
) -> Book:
    """The place; `keys` is the file of keys. Nothing is opened yet."""
    if isinstance(usage, SQLiteUsageConfig):
        folder = Path() if keys is None else keys.parent
        return SQLiteBook(usage.path or folder / "usage.sqlite")
    # Imported here: it is an extra of its own.
    from embedway_gateway.usage.redis import RedisBook

    return RedisBook(
        usage.url.get_secret_value(),
        metrics,
        timeout=usage.timeout,
        connections=usage.connections,
        keep=usage.keep,
    )
