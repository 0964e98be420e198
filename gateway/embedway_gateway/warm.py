"""Gets a model ready before the first request asks for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from embedway_gateway.model import Model
from embedway_upstream import EmbeddingError

__all__ = ["warm"]

_log = logging.getLogger("embedway.gateway")

_AGAIN = 30.0


async def warm(model: Model, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
    """
    Load the local runtime and compare the upstreams' vector spaces, until all is done.

    What fails is said once, and tried again every half minute.
    """
    said: set[str] = set()
    while not await _attempt(model, said):
        await sleep(_AGAIN)


async def _attempt(model: Model, said: set[str]) -> bool:
    done = True
    for state in model.upstreams:
        try:
            if state.local is not None:
                await state.local.load()
            if state.space is not None and "embed" in model.config.capabilities:
                await state.space.prove()
        except EmbeddingError as error:
            done = False
            message = f"{model.name}: upstream {state.name!r} does not serve: {error.message}"
            if message not in said:
                said.add(message)
                _log.warning(message)
    return done
