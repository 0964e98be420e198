"""The last lines that a deployment has written, from OCI's Logging service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from embedway_deploy.run import Run
from embedway_deploy.step import Deployment

__all__ = ["printed"]

# The longest span that one search may cover is 14 days.
_SPAN = timedelta(days=13)


def printed(step: Deployment, run: Run, lines: int) -> list[str]:
    """The oldest first; none where no log is set, or where it cannot be read."""
    from oci.exceptions import ServiceError
    from oci.loggingsearch.models import SearchLogsDetails

    log = step.log
    if log is None or not (log.predict_id or log.access_id):
        return []
    places = [
        f'"{run.plan.place.compartment_id}/{log.group_id}/{one}"'
        for one in (log.predict_id, log.access_id)
        if one
    ]
    now = datetime.now(UTC)
    query = f"search {', '.join(dict.fromkeys(places))} | sort by datetime desc"
    details = SearchLogsDetails(time_start=now - _SPAN, time_end=now, search_query=query)
    try:
        found = run.cloud.log_search.search_logs(details, limit=min(lines, 1000)).data
    except ServiceError:
        # It is read to explain a failure; that it cannot be read must not hide that.
        return []
    return [_line(result.data) for result in reversed(found.results or [])]


def _line(data: object) -> str:
    """One entry; what is no entry of a log is shown as it is."""
    content = data.get("logContent") if isinstance(data, dict) else None
    if not isinstance(content, dict):
        return str(data)[:500]
    inner = content.get("data")
    said = inner.get("message", inner) if isinstance(inner, dict) else inner
    return f"{content.get('time', '')} {said}".strip()[:500]
