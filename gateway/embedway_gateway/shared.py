"""What the models of one configuration have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from embedway_gateway.cache.store import Store
from embedway_gateway.config.routing import RoutingConfig
from embedway_gateway.layers.pace import Pace
from embedway_gateway.layers.retry import Budget
from embedway_gateway.metric import Metrics
from embedway_gateway.runtimes import Runtimes
from embedway_upstream import Credentials
from embedway_upstream.flow import StreamTransport

if TYPE_CHECKING:
    from embedway_gateway.tracing.tracing import Tracing

__all__ = ["Shared"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """By what calls are signed, carried, counted, bounded and paced."""

    credentials: Mapping[str, Credentials]
    transport: StreamTransport
    metrics: Metrics
    budget: Budget
    """One for all models: an outage of one platform is an outage of them all."""
    paces: Mapping[str, Pace]
    routing: RoutingConfig
    runtimes: Runtimes = field(default_factory=Runtimes)
    store: Store | None = None
    """Where vectors are cached."""
    tracing: Tracing | None = None
    """Where traces are made."""
