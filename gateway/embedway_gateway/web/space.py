"""Embeds for a caller, and says which vector space the vectors are in."""

from __future__ import annotations

from starlette.types import Receive

from embedway_gateway.layers.steady import SpaceChanged, require_same
from embedway_gateway.model import Model
from embedway_gateway.web.patience import while_connected
from embedway_upstream import EmbeddingRequest, EmbeddingResponse

__all__ = ["embed"]


async def embed(
    model: Model, request: EmbeddingRequest, receive: Receive
) -> tuple[EmbeddingResponse, str | None]:
    """
    The vectors and the fingerprint that held when they were made.

    Looked at on both sides, because between the answer and whoever writes it others have their
    turn. Where it changed the request is embedded once more; raises `SpaceChanged` after that.
    """
    try:
        return await _embed(model, request, receive)
    except SpaceChanged:
        return await _embed(model, request, receive)


async def _embed(
    model: Model, request: EmbeddingRequest, receive: Receive
) -> tuple[EmbeddingResponse, str | None]:
    before = model.vector_space
    response = await while_connected(receive, model.service.send(request))
    after = model.vector_space
    require_same(before, after)
    return response, after
