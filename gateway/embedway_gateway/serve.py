"""Runs the gateway: listens, and on SIGTERM finishes what was begun."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

import prometheus_client
import uvicorn

from embedway_gateway.config.schema import Config
from embedway_gateway.log import set_up_logging
from embedway_gateway.supervise import supervise

if TYPE_CHECKING:
    from embedway_gateway.web.app import Gateway

__all__ = ["CannotListen", "serve"]

_log = logging.getLogger("embedway.gateway")

_BACKLOG = 2048


class CannotListen(Exception):
    """The address cannot be had."""


def serve(config: Config, *, workers: int = 1) -> None:
    """Listen until SIGTERM or SIGINT. Raises `CannotListen`."""
    _prepare(config)
    listener = _listen(config.server.host, config.server.port)
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    _log.info("listening on http://%s:%d/v1 with %d worker(s)", shown, port, workers)
    with listener:
        if workers == 1:
            _work(config, [listener])
            return
        with _shared_metrics():
            supervise(partial(_worker, config), listener, workers)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # Now, so that nobody is refused while the application is being put together.
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotListen(
            f"cannot listen on {host}:{port} ({error.strerror}); "
            "stop what listens there, or choose another --port"
        ) from error
    listener.set_inheritable(True)
    return listener


def _worker(config: Config, listener: socket.socket) -> None:
    _prepare(config)
    _work(config, [listener])


def _prepare(config: Config) -> None:
    set_up_logging(config.server.log)
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    # Until the event loop takes the signals: nothing has begun yet, so there is nothing to finish.
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, _leave)


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


@contextlib.contextmanager
def _shared_metrics() -> Iterator[None]:
    """A folder that the workers count in, so that /metrics of any of them shows them all."""
    folder = tempfile.mkdtemp(prefix="embedway-metrics-")
    # The one thing that prometheus-client takes from the environment only.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    try:
        yield
    finally:
        del os.environ["PROMETHEUS_MULTIPROC_DIR"]
        shutil.rmtree(folder, ignore_errors=True)


def _work(config: Config, sockets: list[socket.socket]) -> None:
    # Imported here: a supervisor of several workers needs none of it.
    from embedway_gateway.web.app import create_app

    gateway = create_app(config)
    options = uvicorn.Config(
        gateway,
        loop=_loop(),
        http="httptools",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        # The drain has spent the grace period already.
        timeout_graceful_shutdown=1,
        backlog=_BACKLOG,
    )
    # What is here now lives as long as the process; collecting it again costs tail latency.
    gc.collect()
    gc.freeze()
    _Server(options, gateway, config.server.grace).run(sockets)


def _loop() -> str:
    try:
        import uvloop  # noqa: F401
    except ImportError:
        return "asyncio"
    return "uvloop"


class _Server(uvicorn.Server):
    """
    Drains before it stops: new requests get 503 while those begun are finished, streams too, up
    to the grace period. uvicorn's own way is to raise the signal again, which is no exit code 0.
    """

    def __init__(self, options: uvicorn.Config, gateway: Gateway, grace: float) -> None:
        super().__init__(options)
        self._gateway = gateway
        self._grace = grace
        self._stopping: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._stop)
        try:
            yield
        finally:
            for name in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(name)

    def _stop(self) -> None:
        if self._stopping is not None:
            # Asked twice: go now.
            self.should_exit = self.force_exit = True
            return
        self._gateway.draining = True
        self._stopping = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        _log.info("stopping: finishing what was begun")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._grace):
                await self._gateway.idle.wait()
        self.should_exit = True
