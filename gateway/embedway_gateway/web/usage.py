"""`GET /admin/usage`: who used how much of which model on which day."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request

from embedway_gateway.usage.book import BookUnavailable
from embedway_gateway.usage.row import By, Row, summed
from embedway_gateway.usage.tally import Tally
from embedway_gateway.web.error import HTTPError
from embedway_gateway.web.intake import Intake
from embedway_gateway.web.schema import failures

__all__ = ["usage_routes"]


def usage_routes(intake: Intake) -> APIRouter:
    """For callers with admin rights."""

    async def admin(request: Request) -> None:
        await intake.require_admin(request.scope)

    # A dependency: it is asked before anything that was sent is looked at.
    router = APIRouter(tags=["operation"], dependencies=[Depends(admin)])

    @router.get(
        "/admin/usage",
        summary="Usage by key, model and day; needs admin rights",
        responses=failures("400", "401", "403", "404", "503"),
    )
    async def usage(
        *,
        since: Annotated[date | None, Query(description="The first day, UTC")] = None,
        until: Annotated[date | None, Query(description="The last day, UTC")] = None,
        by: Annotated[list[Literal["key", "model", "day"]] | None, Query()] = None,
        key: Annotated[str | None, Query(description="Of this key only")] = None,
        model: Annotated[str | None, Query(description="Of this model only")] = None,
    ) -> dict[str, object]:
        rows = await _read(intake.till.tally, since, until)
        places: list[By] = list(by or ("key", "model", "day"))
        kept = [
            row
            for row in rows
            if (key is None or row.key == key) and (model is None or row.model == model)
        ]
        return {"object": "list", "data": [row.facts(places) for row in summed(kept, places)]}

    return router


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
