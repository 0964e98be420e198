"""Runs the gateway: listens, in this process or with several workers."""

from __future__ import annotations

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
from multiprocessing.connection import Connection
from types import FrameType

import prometheus_client
import uvicorn

from embedway_gateway.access.watch import KeysWatch
from embedway_gateway.config.schema import Config
from embedway_gateway.config.tracing import require_extra
from embedway_gateway.config.watch import Watch
from embedway_gateway.heap import keep_freed_memory
from embedway_gateway.log import set_up_logging
from embedway_gateway.model_process.keeper import Keeper, NoSocket, keeping
from embedway_gateway.reload import FromFile, FromSupervisor
from embedway_gateway.supervise import supervise

__all__ = ["CannotListen", "serve", "try_out"]

_log = logging.getLogger("embedway.gateway")

_BACKLOG = 2048


class CannotListen(Exception):
    """The address cannot be had."""


def serve(config: Config, *, workers: int = 1, watch: Watch | None = None) -> None:
    """
    Listen until SIGTERM or SIGINT, and follow what `watch` tells.

    Raises `CannotListen`, `KeysError` or `WorkersFail`.
    """
    _prepare(config)
    if watch is not None:
        watch.warn(config)
    # Now, so that a mistake in it is told once and not by each worker.
    keys = None if config.server.keys is None else KeysWatch(config.server.keys)
    require_extra(config.tracing)
    if workers > 1 and config.server.guarded and config.limits.type == "memory":
        _log.warning(
            "each of %d workers counts what the limits allow for itself; `limits: {type: redis}` "
            "has them count together",
            workers,
        )
    listener = _listen(config.server.host, config.server.port)
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    _log.info("listening on http://%s:%d/v1 with %d worker(s)", shown, port, workers)
    with listener:
        if workers == 1:
            _work(config, listener, None if watch is None else FromFile(watch))
            return
        with _shared_metrics(), _beside() as (keeper, path):
            work = partial(_worker, models=path)
            supervise(work, config, listener, workers, watch=watch, keeper=keeper, keys=keys)


def try_out(config: Config) -> None:
    """
    Make all that a worker would make of it, and throw it away.

    Raises `ValueError`, `EmbeddingError`, `OSError` or `ImportError` when a worker could not.
    """
    # Imported here: a supervisor needs it only when its configuration changes.
    from embedway_gateway.assemble import put_together
    from embedway_gateway.metric import Metrics
    from embedway_gateway.wire import make_transport
    from embedway_upstream.proxy import read_proxies

    put_together(config, make_transport(read_proxies()), Metrics())


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


def _worker(
    config: Config,
    listener: socket.socket,
    line: Connection,
    *,
    models: str,
    keys: bytes | None = None,
) -> None:
    _prepare(config)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # Blocked by the supervisor until now.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGHUP})
    _work(config, listener, FromSupervisor(line), models=models, keys=keys)


def _prepare(config: Config) -> None:
    set_up_logging(config.server.log)
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    # Until the event loop takes the signals: nothing has begun yet, so there is nothing to finish.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    # The file was read a moment ago.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


@contextlib.contextmanager
def _beside() -> Iterator[tuple[Keeper, str]]:
    try:
        with keeping() as kept:
            yield kept
    except NoSocket as error:
        raise CannotListen(str(error)) from error


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


def _work(
    config: Config,
    listener: socket.socket,
    source: FromFile | FromSupervisor | None,
    *,
    models: str | None = None,
    keys: bytes | None = None,
) -> None:
    """`models` is the socket of the model process; None is to compute them here."""
    # Imported here: a supervisor of several workers needs none of it.
    from embedway_gateway.drain import DrainingServer
    from embedway_gateway.web.app import create_app
    from embedway_gateway.web.bounded import bounded
    from embedway_gateway.web.crowd import make_room

    gateway = create_app(config, models=models, keys=keys)
    make_room(config.server.max_connections)
    options = uvicorn.Config(
        gateway,
        loop=_loop(),
        http=bounded(config.server),
        # An upgrade is never asked for by what is served here, and is left unheard.
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        # Whose address a proxy states is of no use here, and costs a look at every request.
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        # The drain has spent the grace period already.
        timeout_graceful_shutdown=1,
        backlog=_BACKLOG,
    )
    keep_freed_memory()
    # What is here now lives as long as the process; collecting it again costs tail latency.
    gc.collect()
    gc.freeze()
    DrainingServer(options, gateway, source).run([listener])


def _loop() -> str:
    try:
        import uvloop  # noqa: F401
    except ImportError:
        return "asyncio"
    return "uvloop"
