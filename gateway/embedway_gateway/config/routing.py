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
    """Of one request, or piece of one."""
    retry_share: float = Field(default=0.2, ge=0, le=1)
    retry_floor: float = Field(default=10.0, ge=0, allow_inf_nan=False)
    """Retries a second that are always allowed."""
    retry_wait: Duration = 0.025
    """Before the first retry at most; twice as long before each further one."""
    retry_longest: Duration = 2.0
    """Of a wait, whoever asks for it."""
    breaker_failures: int = Field(default=5, ge=1)
    breaker_rest: Duration = 5.0
    breaker_longest: Duration = 300.0
    health_interval: Duration = 5.0
    """Between two questions to an upstream that rests whether it is ready."""
    hedge: bool = True
    hedge_quantile: float = Field(default=0.95, gt=0, lt=1)
    """Of the latest answers: what takes longer is asked of a second upstream."""
    hedge_patience: float = Field(default=8.0, ge=1, allow_inf_nan=False)
    """With documents, times as long."""
    hedge_least: Duration = 1.0
    """With documents, or while little is known."""
    query_share: float = Field(default=0.9, gt=0, lt=1)
    """Of the texts, while both kinds wait."""
