"""What only a platform says: limits of a scope, and failures that may mean two things."""

from __future__ import annotations

from typing import Literal

from embedway_upstream.error import RateLimited, UpstreamFailed

__all__ = ["AmbiguousFailure", "PlatformLimited"]


class PlatformLimited(RateLimited):
    """
    The platform's own limit, not the engine's.

    `scope` is what must slow down: every deployment of the "tenancy" (OCI: 150 requests a second),
    or this "deployment" (the bandwidth of its load balancer; smaller batches do not help there,
    fewer bytes do).
    """

    def __init__(
        self,
        message: str,
        *,
        scope: Literal["tenancy", "deployment"],
        upstream: str | None = None,
        retry_after: float | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(message, upstream=upstream, retry_after=retry_after, detail=detail)
        self.scope = scope


class AmbiguousFailure(UpstreamFailed):
    """
    The platform's time was up, or the model's code raised; OCI answers both with the same 500.

    The first repeats a minute of work, the second may be the same for ever: `most_retries` says
    how often another attempt is worth it.
    """

    most_retries: int | None = 1
