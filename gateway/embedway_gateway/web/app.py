"""Assembles the application: routes, their errors, and the life of the models behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from embedway_gateway import __version__
from embedway_gateway.assemble import assemble
from embedway_gateway.config.schema import Config
from embedway_gateway.discovered import Discovered
from embedway_gateway.metric import Metrics
from embedway_gateway.model import Models
from embedway_gateway.transport import AiohttpTransport
from embedway_gateway.warm import warm
from embedway_gateway.web.catalogue import catalogue_routes
from embedway_gateway.web.embeddings import Embeddings
from embedway_gateway.web.envelope import Envelope
from embedway_gateway.web.error import (
    HTTPError,
    error_reply,
    from_embedding_error,
    wrong_method,
)
from embedway_gateway.web.health import health_routes
from embedway_gateway.web.rerank import Rerank
from embedway_gateway.web.schema import describe
from embedway_upstream import EmbeddingError

__all__ = ["Gateway", "create_app"]


class Gateway(Envelope):
    """The ASGI application of one process."""

    def __init__(self, app: ASGIApp, models: Models, transport: AiohttpTransport) -> None:
        super().__init__(app)
        self.models = models
        self._transport = transport

    async def close(self) -> None:
        """Let go of the models and of all connections; the server does so when it ends."""
        for model in self.models.values():
            if model.local is not None:
                await model.local.close()
        await self._transport.close()


def create_app(config: Config, *, metrics: Metrics | None = None) -> Gateway:
    """The application that a configuration describes; nothing is loaded before it starts."""
    metrics = metrics or Metrics()
    transport = AiohttpTransport()
    models, discovered = assemble(config, transport, metrics)
    app = FastAPI(
        title="Embedway",
        version=__version__,
        # FastAPI's page loads its scripts from elsewhere; the schema itself stays.
        docs_url=None,
        redoc_url=None,
        lifespan=_life(lambda: gateway, discovered),
        exception_handlers={
            HTTPException: _on_wrong_route,
            HTTPError: _on_http_error,
            EmbeddingError: _on_embedding_error,
        },
    )
    embeddings = Embeddings(
        models,
        max_body_bytes=config.server.max_body_bytes,
        request_timeout=config.server.request_timeout,
    )
    rerank = Rerank(
        models,
        max_body_bytes=config.server.max_body_bytes,
        request_timeout=config.server.request_timeout,
    )
    routes: dict[str, ASGIApp] = {
        "/v1/embeddings": embeddings,
        "/v1/rerank": rerank,
        "/v2/rerank": rerank,
    }
    gateway = Gateway(_Hot(routes, app), models, transport)
    app.include_router(catalogue_routes(models))
    app.include_router(health_routes(models, metrics))
    describe(app)
    return gateway


class _Hot:
    """Takes the busy routes past FastAPI, whose stack would cost more than all our layers."""

    def __init__(self, routes: Mapping[str, ASGIApp], app: ASGIApp) -> None:
        self._routes = routes
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get(scope["path"]) if scope["type"] == "http" else None
        if route is not None:
            if scope["method"] != "POST":
                raise wrong_method("POST")
            await route(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _life(gateway: Callable[[], Gateway], discovered: Discovered | None) -> Lifespan[FastAPI]:
    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        # Begun, not awaited: /healthz answers at once, whatever the upstreams do.
        models = gateway().models.values()
        warming = [asyncio.create_task(warm(model)) for model in models]
        if discovered is not None:
            warming.append(asyncio.create_task(discovered.run()))
        yield
        for task in warming:
            task.cancel()
        await asyncio.gather(*warming, return_exceptions=True)
        await gateway().close()

    return life


async def _on_wrong_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        return _response(wrong_method(allowed))
    if error.status_code == 404:
        return _response(
            HTTPError(
                404,
                f"There is no {request.method} {request.url.path[:100]}; "
                "this gateway serves POST /v1/embeddings, POST /v1/rerank and GET /v1/models.",
                code="unknown_route",
            )
        )
    return _response(HTTPError(error.status_code, str(error.detail)))


async def _on_http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPError)
    return _response(error)


async def _on_embedding_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, EmbeddingError)
    return _response(from_embedding_error(error))


def _response(error: HTTPError) -> Response:
    status, headers, body = error_reply(error)
    names = {key.decode(): value.decode() for key, value in headers}
    return Response(body, status, names)
