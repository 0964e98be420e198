"""What every route that calls models takes in: a body of bounded size, and a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import Receive, Scope

from embedway_gateway.config.schema import ServerConfig
from embedway_gateway.model import Models
from embedway_gateway.web.body import read_json_body
from embedway_gateway.web.patience import received_within

__all__ = ["Intake"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """The models that may be asked for, and the limits of one request; times are in seconds."""

    models: Models
    server: Callable[[], ServerConfig]
    """What it says now."""
    clock: Callable[[], float] = time.monotonic

    async def read(self, scope: Scope, receive: Receive) -> bytes:
        """The request's JSON body; raises as `read_json_body` does, and 408 when it stalls."""
        server = self.server()
        reading = read_json_body(scope, receive, server.max_body_bytes)
        return await received_within(server.request_timeout, reading)

    def deadline(self) -> float:
        """When a request that was read now must be answered, on the monotonic clock."""
        return self.clock() + self.server().request_timeout
