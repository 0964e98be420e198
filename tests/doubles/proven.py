"""Compares the vector spaces of a gateway's models, as the server does when it starts."""

from __future__ import annotations

import contextlib

from embedway_gateway.web.app import Gateway
from embedway_upstream import EmbeddingError

__all__ = ["prove"]


async def prove(app: Gateway) -> None:
    """Whatever comes of it: what httpx asks within a process knows no start."""
    for model in app.models.values():
        for state in model.upstreams:
            if state.space is not None:
                with contextlib.suppress(EmbeddingError):
                    await state.space.prove()
