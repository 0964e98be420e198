"""`/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

import time

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from embedway_gateway.metric import Metrics
from embedway_gateway.model import Models

__all__ = ["health_routes"]


def health_routes(models: Models, metrics: Metrics) -> APIRouter:
    """For those who watch the gateway; while it drains, `Envelope` answers in their stead."""
    router = APIRouter(tags=["operation"])

    @router.get("/healthz", summary="Alive: answers as soon as the process listens")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz", summary="Ready: every model has an upstream that may serve")
    async def readyz() -> JSONResponse:
        now = time.monotonic()
        found = {name: model.problems(now) for name, model in models.items()}
        problems = {name: problem for name, problem in found.items() if problem}
        ready = not problems
        # Also of models that are ready, through others.
        quarantined = {name: model.quarantined for name, model in models.items()}
        body = {
            "status": "ready" if ready else "not ready",
            "problems": problems,
            "quarantined": {name: found for name, found in quarantined.items() if found},
        }
        return JSONResponse(body, 200 if ready else 503)

    @router.get("/metrics", summary="Prometheus", response_class=Response)
    async def get_metrics() -> Response:
        return Response(generate_latest(metrics.collected()), media_type=CONTENT_TYPE_LATEST)

    return router
