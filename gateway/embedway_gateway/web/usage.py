"""`GET /admin/usage`: who used how much of which model on which day."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BeforeValidator

from embedway_gateway.usage.book import BookUnavailable
from embedway_gateway.usage.row import By, Row, chosen, summed
from embedway_gateway.usage.tally import Tally
from embedway_gateway.web.error import HTTPError
from embedway_gateway.web.intake import Intake
from embedway_gateway.web.schema import failures

__all__ = ["usage_routes"]

# What is shown when nothing is said.
_DAYS = 30
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _written_out(value: str) -> str:
    """Only so: pydantic would take a number too, as seconds since 1970."""
    if not _DAY.fullmatch(value):
        raise ValueError("a day is written as 2026-01-31")
    return value


Day = Annotated[date, BeforeValidator(_written_out)]


def usage_routes(intake: Intake) -> APIRouter:
    """For callers with admin rights."""

    async def admin(request: Request) -> None:
        await intake.require_admin(request.scope)

    # A dependency: it is asked before anything that was sent is looked at.
    router = APIRouter(tags=["operation"], dependencies=[Depends(admin)])

    @router.get(
        "/admin/usage",
        summary="Usage by key, model and day; needs admin rights",
        response_class=Response,
        responses=failures("400", "401", "403", "404", "421", "503"),
    )
    async def usage(
        *,
        since: Annotated[
            Day | None, Query(description="The first day, UTC; by default 30 days before the last")
        ] = None,
        until: Annotated[Day | None, Query(description="The last day, UTC")] = None,
        by: Annotated[list[Literal["key", "model", "day"]] | None, Query()] = None,
        key: Annotated[str | None, Query(description="Of this key only")] = None,
        model: Annotated[str | None, Query(description="Of this model only")] = None,
    ) -> Response:
        last = until or datetime.now(UTC).date()
        first = since or date.fromordinal(max(1, last.toordinal() - _DAYS))
        rows = await _read(intake.till.tally, first, until)
        write = partial(_written, rows, list(by or ("key", "model", "day")), key=key, model=model)
        # In a thread: of many callers it is much, and requests go first.
        return Response(await asyncio.to_thread(write), media_type="application/json")

    return router


def _written(rows: Sequence[Row], by: Sequence[By], *, key: str | None, model: str | None) -> bytes:
    found = summed(chosen(rows, key=key, model=model), by)
    return msgspec.json.encode({"object": "list", "data": [row.facts(by) for row in found]})


async def _read(tally: Tally | None, since: date | None, until: date | None) -> list[Row]:
    if tally is None:
        raise HTTPError(404, "No usage is kept here.", code="usage_not_kept")
    try:
        # What this process has counted since it last wrote it down.
        await tally.write()
        return await tally.book.read(since=since, until=until)
    except BookUnavailable:
        raise HTTPError(
            503,
            "The usage cannot be read now.",
            kind="server_error",
            code="usage_unavailable",
            retry=True,
        ) from None
