"""Connects to each Redis server that a configuration names, as the gateway does."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from embedway_gateway.config.redis import RedisAddress
from embedway_gateway.config.schema import Config
from embedway_gateway.survey.finding import Finding

__all__ = ["look_at_stores"]

# A server that is not there must not hold up the rest.
_SECONDS = 3.0


async def look_at_stores(config: Config, *, seconds: float = _SECONDS) -> list[Finding]:
    """One finding a server, in at most so many seconds, three at most; none without any."""
    found: dict[str, dict[str, RedisAddress]] = defaultdict(dict)
    for section in ("cache", "limits", "usage"):
        stated = getattr(config, section)
        if isinstance(stated, RedisAddress):
            found[stated.url.get_secret_value()][section] = stated
    if not found:
        return []
    try:
        # Imported here: it is an extra of its own.
        from embedway_gateway.survey.redis import examine_redis
    except ImportError:
        places = ", ".join(section for sections in found.values() for section in sections)
        problem = 'redis is not installed: pip install "embedway[redis]"'
        return [Finding(model="", upstream=places, engine="redis", problem=problem)]
    bound = min(seconds, _SECONDS)
    return await asyncio.gather(
        *(examine_redis(url, sections, seconds=bound) for url, sections in found.items())
    )
