"""`/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

import asyncio
import time

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from embedway_gateway.metric import Metrics
from embedway_gateway.web.intake import Intake
from embedway_gateway.web.schema import failures

__all__ = ["health_routes"]


def health_routes(intake: Intake, metrics: Metrics) -> APIRouter:
    """For those who watch the gateway; while it drains, `Envelope` answers in their stead."""
    router = APIRouter(tags=["operation"])

    @router.get("/healthz", summary="Alive: answers as soon as the process listens")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz", summary="Ready: every model has an upstream that may serve")
    async def readyz(request: Request) -> JSONResponse:
        now = time.monotonic()
        models = intake.models
        found = {name: model.problems(now) for name, model in models.items()}
        problems = {name: problem for name, problem in found.items() if problem}
        ready = not problems
        status = "ready" if ready else "not ready"
        caller = await intake.authentication.recognise(request.scope)
        if caller is None or not caller.admin:
            # Whoever probes has no key, and needs no names.
            return JSONResponse({"status": status}, 200 if ready else 503)
        # Also of models that are ready, through others.
        quarantined = {name: model.quarantined for name, model in models.items()}
        body = {
            "status": status,
            "problems": problems,
            "quarantined": {name: found for name, found in quarantined.items() if found},
        }
        return JSONResponse(body, 200 if ready else 503)

    @router.get(
        "/metrics",
        summary="Prometheus",
        response_class=Response,
        responses=failures("401", "403", "421", "503"),
    )
    async def get_metrics(request: Request) -> Response:
        if not intake.server().open_metrics:
            await intake.require_admin(request.scope)
        return Response(await _written(metrics), media_type=CONTENT_TYPE_LATEST)

    return router


async def _written(metrics: Metrics) -> bytes:
    registry = metrics.collected()
    if registry is metrics.registry:
        return generate_latest(registry)
    # It reads the files of all workers, and requests go first.
    return await asyncio.to_thread(generate_latest, registry)
