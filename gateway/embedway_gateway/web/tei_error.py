"""The form that errors have on `/embed` and `/rerank`: TEI's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from embedway_gateway.web.error import HTTPError, Reply, error_reply_of

__all__ = ["TEIError", "tei_error_reply"]

ErrorType = Literal["Validation", "Empty", "Overloaded", "Backend", "Unhealthy"]


@dataclass(eq=False)
class TEIError(HTTPError):
    """A mistake in the request, with the status and the word that TEI has for it."""

    error_type: ErrorType = "Validation"


def tei_error_reply(error: HTTPError) -> Reply:
    """
    Status, headers and body, as TEI has them since 1.9; a refused request is 422.

    An upstream's failure keeps the gateway's status instead of TEI's 424, which no client tries
    again.
    """
    if isinstance(error, TEIError):
        status, error_type = error.status, error.error_type
    else:
        status, error_type = _place(error.status)
    body = msgspec.json.encode({"error": error.message, "error_type": error_type})
    return error_reply_of(error, status=status, body=body)


def _place(status: int) -> tuple[int, ErrorType]:
    if status == 400:
        return 422, "Validation"
    if status == 429:
        return status, "Overloaded"
    if status == 503:
        return status, "Unhealthy"
    return status, "Backend" if status >= 500 else "Validation"
