"""What every examination of an upstream is made with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from embedway_gateway.config.schema import UpstreamConfig
from embedway_upstream import Credentials
from embedway_upstream.flow import StreamTransport

__all__ = ["Means"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """The ways to the upstreams, and the most seconds that a call to one may take."""

    credentials: Mapping[str, Credentials]
    transport: StreamTransport
    seconds: float

    def patience(self, item: UpstreamConfig) -> float:
        """In seconds a call: the upstream's own timeout, where that is shorter."""
        return min(self.seconds, item.timeout)

    def login(self, item: UpstreamConfig) -> Credentials | None:
        """The upstream's credentials; None where it has none."""
        return self.credentials[item.credentials] if item.credentials else None
