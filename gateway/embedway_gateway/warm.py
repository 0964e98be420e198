"""Gets a model ready before the first request asks for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from embedway_gateway.model import Model, UpstreamState
from embedway_upstream import EmbeddingError, WrongSpace

__all__ = ["warm"]

_log = logging.getLogger("embedway.gateway")

_AGAIN = 30.0


async def warm(model: Model, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
    """
    Load the local runtime, or LiteLLM, compare the upstreams' vector spaces, and let the cache
    learn its name, until cancelled.

    What fails is said once, and tried again every half minute; so is whatever failed since, which
    thus comes back without a request that would have to wait for it.
    """
    said: dict[str, str] = {}
    while True:
        for state in model.upstreams:
            await _attempt(model, state, said)
        if model.witness is not None:
            # It asks beside the traffic, so that the first texts are in the cache already.
            model.witness.space()
        await sleep(_AGAIN)


async def _attempt(model: Model, state: UpstreamState, said: dict[str, str]) -> None:
    try:
        if state.local is not None:
            await state.local.load()
        if state.leaf.reranker is not None:
            await state.leaf.reranker.load()
        if state.leaf.hosted is not None:
            await state.leaf.hosted.library.load()
        if state.space is not None:
            await state.space.prove()
    except WrongSpace:
        # It is told by the one who found it.
        said.pop(state.name, None)
    except EmbeddingError as error:
        if said.get(state.name) != error.message:
            said[state.name] = error.message
            _log.warning(
                "%s: upstream %r does not serve: %s", model.name, state.name, error.message
            )
    else:
        said.pop(state.name, None)
