"""How upstreams are chosen, tried again and left alone."""

from __future__ import annotations

from pydantic import Field

from embedway_gateway.config.strict import Strict
from embedway_gateway.config.value import Duration

__all__ = ["RoutingConfig"]


class RoutingConfig(Strict):
    """
    Defaults are those of Finagle (failure accrual: 5 failures, 5 s to 300 s; retry budget: 20 % and
    10 a second), of Envoy (5 failures in a row; waits from 25 ms), and for hedges of Dean and
    Barroso, The Tail at Scale (the 95th percentile). Where they say nothing, ours.
    """

    attempts: int = Field(default=3, ge=1)
    """Attempts at one request, or piece of one, at most."""
    retry_share: float = Field(default=0.2, ge=0, le=1)
    """Retries as a share of the requests (Envoy and Finagle: 20 %)."""
    retry_floor: float = Field(default=10.0, ge=0, allow_inf_nan=False)
    """Retries a second that are allowed however few requests there are (Finagle: 10)."""
    retry_wait: Duration = 0.025
    """
    Before the first retry at most, twice as long before the next; drawn at random, from nothing
    on (Envoy: 25 ms).
    """
    retry_longest: Duration = 2.0
    """
    The longest wait before a retry; an upstream that asks for more in `Retry-After` is told on
    to the caller.
    """
    breaker_failures: int = Field(default=5, ge=1)
    """
    Failures in a row that open an upstream's circuit breaker (Envoy and Finagle: 5); one is
    enough where no connection can be made.
    """
    breaker_rest: Duration = 5.0
    """
    How long it then rests; twice as long each time without a success in between, of which half
    is drawn at random (Finagle: 5 s, equal jitter).
    """
    breaker_longest: Duration = 300.0
    """The longest rest (Finagle: 300 s)."""
    health_interval: Duration = 5.0
    """
    How often an upstream that rests is asked whether it is ready, on its engine's own path
    (Envoy's examples: 5 s).
    """
    hedge: bool = True
    """Ask a second upstream when the first takes unusually long."""
    hedge_quantile: float = Field(default=0.95, gt=0, lt=1)
    """
    Unusual is, for a query, longer than this share of the latest took (Dean and Barroso, *The
    Tail at Scale*).
    """
    hedge_patience: float = Field(default=8.0, ge=1, allow_inf_nan=False)
    """For documents, so many times as long."""
    hedge_least: Duration = 1.0
    """
    And for documents at least this; for queries too, while little is known or only a lower
    priority is left.
    """
    query_share: float = Field(default=0.9, gt=0, lt=1)
    """Of the texts sent while queries and documents both wait, the share that is queries."""
