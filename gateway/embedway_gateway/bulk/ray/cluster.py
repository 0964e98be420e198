"""Joins a Ray cluster, or starts one on this machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType

from embedway_gateway.bulk.error import ClusterFailed

__all__ = ["connected"]

_SECONDS = 10.0

# For Ray's first import, unless its user has said otherwise: it reports nothing to its makers, and
# prints no tracebacks out of workers, which come as errors.
_SETTINGS = MappingProxyType({"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS_SKIP_REGEX": "."})


@contextmanager
def connected(address: str | None) -> Iterator[bool]:
    """
    Be a driver of the cluster at `address`, in Ray's own words; gives whether it may yet grow.

    With None, Ray looks for a cluster that runs on this machine, and else starts one here, which
    ends with this process. Raises `ClusterFailed`, and `ModuleNotFoundError` without the extra
    `ray`.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    import ray  # pyright: ignore[reportMissingImports]  # the extra `ray`

    grows = _join(address)
    try:
        yield grows
    except KeyboardInterrupt:
        # Orderly, it would wait for what is being computed. The cluster sees when we are gone.
        raise
    except BaseException:
        ray.shutdown()
        raise
    ray.shutdown()


def _join(address: str | None) -> bool:
    import ray  # pyright: ignore[reportMissingImports]

    join = partial(ray.init, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        if address is not None:
            _require_listener(address)
            join(address)
            return address != "local"
        try:
            join("auto")
        except ConnectionError:
            join("local")
            return False
    except (ConnectionError, RuntimeError, TimeoutError, ValueError) as error:
        raise ClusterFailed(f"{_where(address)} cannot be used: {error}") from error
    return True


def _require_listener(address: str) -> None:
    """Ray tries for minutes, and says little meanwhile."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():  # "auto", "local"
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS).close()
    except OSError as error:
        raise ClusterFailed(
            f"{_where(address)} cannot be reached ({error.strerror or error}); give the address "
            "that `ray status` or `ray start --head` prints, as host:port"
        ) from error


def _where(address: str | None) -> str:
    return "Ray" if address is None else f"Ray at {address}"
