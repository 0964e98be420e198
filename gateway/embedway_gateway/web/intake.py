"""What every route takes in: a caller who may be there, a body of bounded size, and a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import Receive, Scope

from embedway_gateway.access.caller import Caller
from embedway_gateway.config.schema import Config, ServerConfig
from embedway_gateway.model import Models
from embedway_gateway.web.authentication import Authentication
from embedway_gateway.web.charge import Till
from embedway_gateway.web.error import HTTPError
from embedway_gateway.web.visit import Visit

__all__ = ["Intake"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """The models that may be asked for, by whom, and the limits of one request, in seconds."""

    models: Models
    config: Callable[[], Config]
    """What it says now."""
    authentication: Authentication
    till: Till
    clock: Callable[[], float] = time.monotonic

    async def enter(self, scope: Scope, receive: Receive) -> Visit:
        """Before anything of the body is read. Raises `HTTPError` 401 or 503."""
        return Visit(self, scope, receive, await self.authentication.identify(scope))

    async def identify(self, scope: Scope) -> Caller:
        """Who calls, where there is no body. Raises as `enter` does."""
        return await self.authentication.identify(scope)

    async def require_admin(self, scope: Scope) -> Caller:
        """The same, and 403 unless it is an admin."""
        caller = await self.authentication.identify(scope)
        if not caller.admin:
            raise HTTPError(
                403, "This needs an API key with admin rights.", code="insufficient_permissions"
            )
        return caller

    def server(self) -> ServerConfig:
        """What the configuration says now of the server."""
        return self.config().server

    def isolated(self) -> bool:
        """Whether each caller has a cache of its own."""
        cache = self.config().cache
        return cache is not None and cache.isolate

    def deadline(self) -> float:
        """When a request that was read now must be answered, on the monotonic clock."""
        return self.clock() + self.server().request_timeout
