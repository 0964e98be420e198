"""Runs an ASGI application on loopback, in a thread of its own or in the running event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import uvicorn

from embedway_gateway.config.schema import ServerConfig
from embedway_gateway.web.app import Gateway
from embedway_gateway.web.bounded import bounded


@contextlib.contextmanager
def served(app: Any, *, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """
    The application's address, `http://127.0.0.1:PORT`, for as long as the block runs; with `tls` it
    is https, and for the names of that context's certificate.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app, log_level="critical", lifespan="auto", timeout_graceful_shutdown=1
        )
        config.load()
        config.ssl = tls
        server = _Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        server.up.wait(10)
        try:
            yield f"http{'s' if tls else ''}://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


@contextlib.asynccontextmanager
async def serving(
    app: Any, *, bounds: ServerConfig | None = None, keep_alive: float = 75
) -> AsyncIterator[str]:
    """As `served`, in the running event loop, with what `embedway serve` sets."""
    bounds = bounds or (app.config.server if isinstance(app, Gateway) else ServerConfig())
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app,
            http=bounded(bounds),
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            # uvicorn's type says whole seconds, its code does not ask for them.
            timeout_keep_alive=keep_alive,  # type: ignore[arg-type]
            timeout_graceful_shutdown=1,
        )
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup([listener])
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            await server.shutdown([listener])
            for _ in range(4):
                await asyncio.sleep(0)  # for what is being accepted
            for connection in list(server.server_state.connections):
                connection.transport.abort()
            await asyncio.sleep(0)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def free_port() -> int:
    """A port where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
