"""Follows a configuration file, and tells when there is something new in it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from embedway_gateway.config.exposure import exposures
from embedway_gateway.config.load import ConfigError
from embedway_gateway.config.schema import Config, ServerConfig
from embedway_upstream import EmbeddingError

__all__ = ["SETTLED", "News", "Watch"]

_log = logging.getLogger("embedway.gateway")

# Sections that need a restart, as does what else is in `server`. The chart's checksum is of these.
SETTLED = ("limits", "usage", "tracing")
# What a running gateway reads anew for each request, or when it stops.
_LIVE = {
    *("max_body_bytes", "request_timeout", "body_timeout", "grace", "drain_delay"),
    *("console", "open_models", "open_metrics", "allowed_hosts"),
}


@dataclass(frozen=True, slots=True)
class News:
    """A new configuration; or None for one that cannot be used, which was logged."""

    config: Config | None


class Watch:
    """
    Looks at a file again and again; `read` makes a configuration of it, or raises `ConfigError`,
    and `check` raises what else stands in its way.

    A change counts once the content is the same in two looks: a file that is being written is not
    read. It is the content that is compared, behind all links: Kubernetes exchanges a link, and
    the time of a change may be older than what it replaces.
    """

    def __init__(
        self,
        path: Path,
        read: Callable[[], Config],
        *,
        every: float | None = None,
        check: Callable[[Config], None] | None = None,
    ) -> None:
        self.every = every
        """Seconds between two looks; None is to look only when asked."""
        self.path = path
        self._read = read
        self._check = check
        # Before it is read: what changes in between is noticed with the next look.
        self._settled = self._seen = self._digest()
        self._first: Config | None = None

    def first(self) -> Config:
        """What to start with. Raises `ConfigError`."""
        config = self._read()
        self._first = config
        return config

    def look(self, *, asked: bool = False) -> News | None:
        """What is new, None when nothing is; `asked` reads the file whether it changed or not."""
        content = self._digest()
        stable, self._seen = content == self._seen, content
        if not asked and (content == self._settled or not stable):
            return None
        self._settled = content
        try:
            config = self._read()
            if self._check is not None:
                self._check(config)
        except (ConfigError, EmbeddingError, ValueError, OSError, ImportError) as error:
            _log.error("the new configuration is refused, the old one stays: %s", error)
            return News(None)
        self._tell_what_waits(config)
        self.warn(config)
        return News(self._settled_at_start(config))

    def _settled_at_start(self, config: Config) -> Config:
        """
        With what needs a restart as it was. A worker that is made anew inherits the socket: without
        the keys it would be open to all who reach that, and its limits would not be the others'.
        """
        first = self._first
        if first is None:
            return config
        live = {name: getattr(config.server, name) for name in _LIVE}
        server = first.server.model_copy(update=live)
        return config.model_copy(
            update={"server": server} | {name: getattr(first, name) for name in SETTLED}
        )

    def warn(self, config: Config) -> None:
        """Log who else may change or read what it depends on."""
        for sentence in exposures(config, self.path):
            _log.warning("%s", sentence)

    def _digest(self) -> bytes:
        try:
            return hashlib.sha256(self.path.read_bytes()).digest()
        except OSError:
            return b""

    def _tell_what_waits(self, config: Config) -> None:
        if self._first is None:
            return
        changed = [
            f"server.{name}"
            for name in ServerConfig.model_fields
            if name not in _LIVE
            and getattr(config.server, name) != getattr(self._first.server, name)
        ]
        changed += [name for name in SETTLED if getattr(config, name) != getattr(self._first, name)]
        if changed:
            _log.warning(
                "%s changed, which needs a restart; the rest is taken over", ", ".join(changed)
            )
