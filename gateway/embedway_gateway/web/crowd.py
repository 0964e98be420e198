"""Knows who is connected but asks for nothing, and who has to go when there is no more room."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Crowd", "make_room"]

_log = logging.getLogger("embedway.gateway")

# Upstreams, Redis, files and what Python itself has open.
_OURS = 1024
_EVERY = 10.0
# So many may still be read an answer that refuses them; others are hung up on.
_MOST_LEAVING = 256

Connection = TypeVar("Connection")


class Crowd(Generic[Connection]):
    """The connections of one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # In the order in which they became idle.
        self._idle: dict[Connection, None] = {}
        self._said = -_EVERY
        self._refused = 0
        self.leaving: set[Connection] = set()
        """Those that were refused, until they have read why."""

    def rest(self, one: Connection) -> None:
        """It waits for its client."""
        self._idle[one] = None

    def wake(self, one: Connection) -> None:
        """It does not, or is gone."""
        self._idle.pop(one, None)

    def longest_idle(self) -> Connection | None:
        """Who shall go, and is not in the crowd any more."""
        one = next(iter(self._idle), None)
        if one is not None:
            del self._idle[one]
        return one

    def may_linger(self) -> bool:
        """Whether one that is refused may stay to read it."""
        return len(self.leaving) < _MOST_LEAVING

    def refuse(self, most: int) -> None:
        """Count one that found no room; the log says so every ten seconds at most."""
        self._refused += 1
        if self._clock() - self._said < _EVERY:
            return
        _log.warning(
            "%d connection(s) refused: all %d of `server: max_connections` are busy",
            self._refused,
            most,
        )
        self._said = self._clock()
        self._refused = 0


def make_room(connections: int) -> None:
    """Let this process have so many open at once, as far as the system allows it."""
    try:
        import resource
    except ImportError:  # pragma: no cover
        # Windows has no such limit.
        return
    wanted = connections + _OURS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        _log.warning(
            "this process may have %d files open, fewer than `server: max_connections: %d` needs; "
            "raise the limit (ulimit -n) or lower the setting",
            allowed,
            connections,
        )
