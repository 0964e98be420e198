"""`GET /v1/models` and `GET /v1/models/{id}`."""

from __future__ import annotations

import time

from fastapi import APIRouter

from embedway_gateway.model import Model, Models

__all__ = ["catalogue_routes"]


def catalogue_routes(models: Models) -> APIRouter:
    """OpenAI's list, each entry with what a client of embeddings wants to know."""
    router = APIRouter(tags=["models"])
    created = int(time.time())

    @router.get("/v1/models", summary="List the models")
    async def list_models() -> dict[str, object]:
        return {"object": "list", "data": [_entry(models[name], created) for name in models]}

    @router.get("/v1/models/{name:path}", summary="One model, by its name or an alias")
    async def get_model(name: str) -> dict[str, object]:
        return _entry(models.find(name), created)

    return router


def _entry(model: Model, created: int) -> dict[str, object]:
    return {
        "id": model.name,
        "object": "model",
        "created": created,
        "owned_by": "embedway",
        "aliases": list(model.config.aliases),
        "dimensions": model.dimensions,
        "matryoshka": list(model.config.matryoshka),
        "max_tokens": model.max_tokens,
        "capabilities": list(model.config.capabilities),
        "vector_space": model.vector_space,
    }
