"""Who counts what the limits allow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from embedway_gateway.config.redis import RedisAddress
from embedway_gateway.config.strict import Strict
from embedway_gateway.quota.local import LocalQuota

if TYPE_CHECKING:
    from embedway_gateway.metric import Metrics
    from embedway_gateway.quota.quota import Quota

__all__ = ["LimitsConfig", "MemoryLimitsConfig", "RedisLimitsConfig", "make_quota"]


class MemoryLimitsConfig(Strict):
    """Each process for itself: with several workers, so many times as much."""

    type: Literal["memory"] = "memory"


class RedisLimitsConfig(RedisAddress):
    """A Redis server, for all gateways that share it."""

    type: Literal["redis"]
    without: Literal["local", "refuse"] = "local"
    """
    While the server does not answer: `local`, each process counts for itself; `refuse`, what is
    limited gets 503.
    """


LimitsConfig = Annotated[MemoryLimitsConfig | RedisLimitsConfig, Field(discriminator="type")]


def make_quota(config: MemoryLimitsConfig | RedisLimitsConfig, metrics: Metrics) -> Quota:
    """What counts. Nothing is connected yet."""
    if isinstance(config, MemoryLimitsConfig):
        return LocalQuota()
    # Imported here: it is an extra of its own.
    from embedway_gateway.quota.redis import RedisQuota

    return RedisQuota(
        config.url.get_secret_value(),
        metrics,
        timeout=config.timeout,
        connections=config.connections,
        refuse=config.without == "refuse",
    )
