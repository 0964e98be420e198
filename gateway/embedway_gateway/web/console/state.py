"""`GET /console/state`: how the models and their upstreams are now, and what they did so far."""

from __future__ import annotations

import asyncio
import time

import msgspec
from fastapi import APIRouter, HTTPException, Request, Response

from embedway_gateway import __version__
from embedway_gateway.metric import Metrics
from embedway_gateway.model import Model, UpstreamState
from embedway_gateway.web.console.count import Counts, counted
from embedway_gateway.web.intake import Intake
from embedway_gateway.web.schema import failures

__all__ = ["state_routes"]


def state_routes(intake: Intake, metrics: Metrics) -> APIRouter:
    """
    For whoever has a key: which of its models are ready. For admins also the upstreams, with
    reasons, and the totals of all callers; readers subtract two answers to know a rate.

    Totals are of all workers, the rest is as the worker that answers sees it.
    """
    router = APIRouter(tags=["operation"])

    @router.get(
        "/console/state",
        summary="What the console shows; upstreams and totals for admins only",
        response_class=Response,
        responses=failures("401", "404", "421", "503"),
    )
    async def state(request: Request) -> Response:
        caller = await intake.identify(request.scope)
        server = intake.server()
        if not server.console:
            raise HTTPException(404)
        now = time.monotonic()
        models = list(caller.among(intake.models))
        found = [{"id": model.name, "ready": not model.problems(now)} for model in models]
        if caller.admin:
            # In a thread: of several workers each has a file, and requests go first.
            counts = await asyncio.to_thread(lambda: counted(metrics.collected()))
            found = [
                {**facts, **_seen(model, counts, now)}
                for facts, model in zip(found, models, strict=True)
            ]
        body = {
            "version": __version__,
            "guarded": server.guarded,
            "admin": caller.admin,
            "models": found,
        }
        return Response(msgspec.json.encode(body), media_type="application/json")

    return router


def _seen(model: Model, counts: Counts, now: float) -> dict[str, object]:
    name = model.name
    return {
        "requests": counts.split("requests_total", name),
        "seconds": counts.mean("request_seconds", name),
        "texts": counts.total("texts_total", name),
        "tokens": counts.total("tokens_total", name),
        "cache": _cache(model, counts),
        "upstreams": [_upstream(model, state, counts, now) for state in model.upstreams],
    }


def _cache(model: Model, counts: Counts) -> dict[str, float] | None:
    """None where its vectors are not cached."""
    if model.witness is None:
        return None
    return {
        "hits": counts.total("cache_texts_total", model.name, result="hit"),
        "misses": counts.total("cache_texts_total", model.name, result="miss"),
    }


def _upstream(model: Model, state: UpstreamState, counts: Counts, now: float) -> dict[str, object]:
    place = {"upstream": state.name}
    return {
        "name": state.name,
        "engine": state.engine,
        "priority": state.priority,
        "problem": state.problem(now),
        "quarantined": model.quarantined.get(state.name, ""),
        "breaker": state.target.breaker.state(now),
        "in_flight": counts.total("upstream_in_flight", model.name, **place),
        "calls": counts.split("upstream_attempts_total", model.name, **place),
        "seconds": counts.mean("upstream_seconds", model.name, **place),
        "texts": counts.total("texts_total", model.name, **place),
        "tokens": counts.total("tokens_total", model.name, **place),
    }
