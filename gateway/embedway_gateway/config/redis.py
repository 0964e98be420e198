"""How a Redis server is named in a configuration."""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from pydantic import SecretStr, model_validator

from embedway_gateway.config.strict import Strict
from embedway_gateway.config.value import Amount, Duration

__all__ = ["RedisAddress"]


class RedisAddress(Strict):
    """A server, and how long it may take."""

    url: SecretStr
    """
    `redis://[[user]:password@]host[:port][/database]`, or `rediss://` for TLS, which belongs
    between machines that do not share a trusted network; write `"${REDIS_URL}"`.
    """
    timeout: Duration = 0.05
    """For one round trip, connecting included."""
    connections: Amount = 16
    """At once, at most, of each worker."""

    @model_validator(mode="after")
    def _is_an_address(self) -> Self:
        # Its parts are never shown: one of them is a password.
        if not _is_redis(self.url.get_secret_value()):
            raise ValueError(
                "url must be redis://[[user]:password@]host[:port][/database], or rediss:// for "
                "TLS; other characters than letters and digits in a password are written as %40"
            )
        return self


def _is_redis(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    database = parts.path.removeprefix("/")
    return (
        parts.scheme in {"redis", "rediss"}
        and bool(parts.hostname)
        and not (parts.query or parts.fragment)
        and (not database or (database.isascii() and database.isdecimal()))
    )
