"""`GET /v1/models` and `GET /v1/models/{id}`."""

from __future__ import annotations

import time

from fastapi import APIRouter, Request

from embedway_gateway.access.caller import ANYONE, Caller
from embedway_gateway.model import Model
from embedway_gateway.web.intake import Intake
from embedway_gateway.web.schema import failures

__all__ = ["catalogue_routes"]


def catalogue_routes(intake: Intake) -> APIRouter:
    """OpenAI's list of what the caller may use, with what a client of embeddings wants to know."""
    router = APIRouter(tags=["models"], responses=failures("401", "421", "503"))
    created = int(time.time())

    async def caller(request: Request) -> Caller:
        if intake.server().open_models:
            return await intake.authentication.recognise(request.scope) or ANYONE
        return await intake.identify(request.scope)

    @router.get("/v1/models", summary="List the models")
    async def list_models(request: Request) -> dict[str, object]:
        models = (await caller(request)).among(intake.models)
        return {"object": "list", "data": [_entry(model, created) for model in models]}

    @router.get(
        "/v1/models/{name:path}",
        summary="One model, by its name or an alias",
        responses=failures("404"),
    )
    async def get_model(name: str, request: Request) -> dict[str, object]:
        return _entry((await caller(request)).find(intake.models, name), created)

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
