"""Assembles the application: routes, their errors, and the life of the models behind them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from embedway_gateway import __version__
from embedway_gateway.config.schema import Config
from embedway_gateway.config.tracing import make_tracing
from embedway_gateway.config.watch import News
from embedway_gateway.fleet import Fleet
from embedway_gateway.metric import Metrics
from embedway_gateway.model_process.line import Line
from embedway_gateway.model_process.out_of_process import OutOfProcess
from embedway_gateway.model_process.rank_out_of_process import RankOutOfProcess
from embedway_gateway.runtimes import Makers
from embedway_gateway.web.catalogue import catalogue_routes
from embedway_gateway.web.chat import Chat
from embedway_gateway.web.console.page import page_routes
from embedway_gateway.web.console.state import state_routes
from embedway_gateway.web.embeddings import Embeddings
from embedway_gateway.web.envelope import Envelope
from embedway_gateway.web.error import (
    HTTPError,
    error_reply,
    from_embedding_error,
    internal_error,
    wrong_method,
)
from embedway_gateway.web.guard import Guard
from embedway_gateway.web.health import health_routes
from embedway_gateway.web.host import Hosts
from embedway_gateway.web.intake import Intake
from embedway_gateway.web.rerank import Rerank
from embedway_gateway.web.schema import describe
from embedway_gateway.web.tei import TEIEmbed, TEIRerank
from embedway_gateway.web.tei_error import tei_error_reply
from embedway_gateway.web.usage import usage_routes
from embedway_gateway.wire import Carrier, make_transport
from embedway_upstream import EmbeddingError
from embedway_upstream.proxy import read_proxies

if TYPE_CHECKING:
    from embedway_gateway.tracing.tracing import Tracing

__all__ = ["Gateway", "create_app"]

_log = logging.getLogger("embedway.gateway")


class Gateway(Envelope):
    """The ASGI application of one process."""

    def __init__(
        self,
        app: ASGIApp,
        fleet: Fleet,
        transport: Carrier,
        metrics: Metrics,
        *,
        guard: Guard,
        line: Line | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        super().__init__(app, forms=dict.fromkeys(("/embed", "/rerank"), tei_error_reply))
        self.models = fleet.models
        self._fleet = fleet
        self._transport = transport
        self._metrics = metrics
        self._line = line
        self._guard = guard
        self._tracing = tracing

    @property
    def config(self) -> Config:
        """What is served now."""
        return self._fleet.config

    async def take(self, news: News) -> None:
        """Serve a new configuration; one that proves to be of no use is logged and refused."""
        taken = news.config is not None and await self._changed(news.config)
        self._metrics.reloads.labels("ok" if taken else "refused").inc()
        self._metrics.reloaded.set(taken)

    async def _changed(self, config: Config) -> bool:
        try:
            await self._fleet.change(config, settled=self.settled)
        except (EmbeddingError, ValueError, OSError, ImportError) as error:
            _log.error("the new configuration is refused, the old one stays: %s", error)
            return False
        except Exception:  # noqa: BLE001
            # The last resort: whatever happens to the new one, the old one must go on.
            _log.exception("the new configuration is refused, the old one stays: a fault of ours")
            return False
        return True

    def start(self) -> None:
        """Begin to get the models ready."""
        self._guard.start()
        self._fleet.start()

    async def close(self) -> None:
        """Let go of the models and of all connections; the server does so when it ends."""
        await self._guard.close()
        await self._fleet.close()
        await self._transport.close()
        if self._tracing is not None:
            await self._tracing.close()
        if self._line is not None:
            self._line.close()


def _beside(line: Line) -> Makers:
    return Makers(partial(OutOfProcess, line=line), partial(RankOutOfProcess, line=line))


def create_app(
    config: Config,
    *,
    metrics: Metrics | None = None,
    models: str | None = None,
    keys: bytes | None = None,
    tracing: Tracing | None = None,
) -> Gateway:
    """
    The application that a configuration describes; nothing is loaded before it starts.

    `models` is the socket of the process that has the local models; None is this one. `keys` is
    what the file of keys held when it was last good, for a start while it is not. `tracing` is
    instead of what the configuration says.
    """
    metrics = metrics or Metrics()
    tracing = tracing or make_tracing(config.tracing)
    transport = make_transport(read_proxies())
    line = None if models is None else Line(models)
    makers = None if line is None else _beside(line)
    fleet = Fleet(config, transport, metrics, makers=makers, tracing=tracing)
    app = FastAPI(
        title="Embedway",
        version=__version__,
        # FastAPI's page loads its scripts from elsewhere; the schema itself stays.
        docs_url=None,
        redoc_url=None,
        # To where the request says that it was sent, over http, whatever stands before us.
        redirect_slashes=False,
        lifespan=_life(lambda: gateway),
        exception_handlers={
            HTTPException: _on_wrong_route,
            HTTPError: _on_http_error,
            EmbeddingError: _on_embedding_error,
            RequestValidationError: _on_wrong_query,
            Exception: _on_fault,
        },
    )
    guard = Guard(config, transport, metrics, keys=keys)
    intake = Intake(
        models=fleet.models,
        config=lambda: fleet.config,
        authentication=guard.authentication,
        till=guard.till,
    )
    hot = _Hot(_routes(intake, metrics, tracing), app, Hosts(intake.server))
    gateway = Gateway(hot, fleet, transport, metrics, guard=guard, line=line, tracing=tracing)
    app.include_router(catalogue_routes(intake))
    app.include_router(health_routes(intake, metrics))
    app.include_router(usage_routes(intake))
    app.include_router(state_routes(intake, metrics))
    app.include_router(page_routes(intake))
    describe(app)
    return gateway


def _routes(intake: Intake, metrics: Metrics, tracing: Tracing | None) -> dict[str, ASGIApp]:
    rerank = Rerank(intake)
    # With what OpenTelemetry calls the operation.
    routes: dict[str, tuple[str, ASGIApp]] = {
        "/v1/embeddings": ("embeddings", Embeddings(intake)),
        "/v1/rerank": ("rerank", rerank),
        "/v2/rerank": ("rerank", rerank),
        "/v1/chat/completions": ("chat", Chat(intake, metrics, task="chat")),
        "/v1/completions": ("text_completion", Chat(intake, metrics, task="completions")),
        "/embed": ("embeddings", TEIEmbed(intake)),
        "/rerank": ("rerank", TEIRerank(intake)),
    }
    if tracing is None:
        return {path: route for path, (_, route) in routes.items()}
    from embedway_gateway.tracing.route import TracedRoute

    return {
        path: TracedRoute(route, tracing, path=path, operation=operation)
        for path, (operation, route) in routes.items()
    }


class _Hot:
    """Takes the busy routes past FastAPI, whose stack would cost more than all our layers."""

    def __init__(self, routes: Mapping[str, ASGIApp], app: ASGIApp, hosts: Hosts) -> None:
        self._routes = routes
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            # Uniform, and before any route: none has to think of it.
            self._hosts.require(scope)
            route = self._routes.get(scope["path"])
            if route is not None:
                if scope["method"] != "POST":
                    raise wrong_method("POST")
                await route(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _life(gateway: Callable[[], Gateway]) -> Lifespan[FastAPI]:
    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        # Begun, not awaited: /healthz answers at once, whatever the upstreams do.
        gateway().start()
        yield
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
                "this gateway serves POST /v1/embeddings, /v1/rerank, /v1/chat/completions and "
                "/v1/completions, GET /v1/models, and in TEI's shapes POST /embed and /rerank.",
                code="unknown_route",
            )
        )
    return _response(HTTPError(error.status_code, str(error.detail)))


async def _on_wrong_query(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # The place and the rule, without the value.
    place, said = error.errors()[0]["loc"], error.errors()[0]["msg"]
    field = str(place[1]) if len(place) > 1 else None
    message = f"{field or 'The request'}: {said}."
    return _response(HTTPError(400, message, param=field, code="invalid_request"))


async def _on_http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPError)
    return _response(error)


async def _on_embedding_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, EmbeddingError)
    return _response(from_embedding_error(error))


async def _on_fault(_request: Request, _error: Exception) -> Response:
    """In our form; it is raised again after that, for the last resort of `Envelope` to log."""
    return _response(internal_error())


def _response(error: HTTPError) -> Response:
    status, headers, body = error_reply(error)
    names = {key.decode(): value.decode() for key, value in headers}
    return Response(body, status, names)
