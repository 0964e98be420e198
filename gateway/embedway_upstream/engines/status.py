"""What an HTTP status means when nothing more is known of the engine that sent it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from embedway_upstream.error import (
    BatchTooLarge,
    EmbeddingError,
    InvalidRequest,
    RateLimited,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimeout,
)

__all__ = ["from_status", "retry_after"]


# A day: whatever is beyond it is a mistake, or somebody's prank.
_LONGEST = 86_400.0


def from_status(status: int, headers: Mapping[str, str]) -> EmbeddingError:
    """The error that a status stands for; the body is not consulted."""
    wait = retry_after(headers)
    detail = f"status {status}"
    if status == 429:
        return RateLimited("the upstream asks to slow down", retry_after=wait, detail=detail)
    if status in {401, 403}:
        return UpstreamRefused(
            "the upstream refuses the gateway's credentials; check `credentials:` of the upstream",
            detail=detail,
        )
    if status == 404:
        return UpstreamRefused(
            "the upstream has no such model or path; check `url:`, `path:` and `model:` of it",
            detail=detail,
        )
    if status == 413:
        return BatchTooLarge("the request is too large for the upstream", detail=detail)
    if status in {400, 422}:
        return InvalidRequest("the upstream refuses the request as invalid", detail=detail)
    if status in {408, 504}:
        return UpstreamTimeout("the upstream took too long", detail=detail)
    if status >= 500:
        return UpstreamFailed("the upstream failed", retry_after=wait, detail=detail)
    return UpstreamRefused(f"the upstream answered {status}", detail=detail)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, of `Retry-After` in either of its forms (RFC 9110 §10.2.3)."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _LONGEST)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - datetime.now(UTC)).total_seconds()), _LONGEST)
