"""The one table that turns errors into HTTP, in OpenAI's form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from embedway_upstream import (
    BadVector,
    DeadlineExceeded,
    EmbeddingError,
    InputTooLong,
    InvalidRequest,
    Overloaded,
    RateLimited,
    UnknownModel,
    UpstreamDefect,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
    WrongSpace,
)
from embedway_upstream.credentials.error import LoginDown

__all__ = [
    "HTTPError",
    "Reply",
    "error_reply",
    "error_reply_of",
    "from_embedding_error",
    "internal_error",
    "wrong_method",
]

Reply: TypeAlias = tuple[int, list[tuple[bytes, bytes]], bytes]
"""Status, headers and body."""


@dataclass(eq=False)
class HTTPError(Exception):
    """An answer that is an error; `retry` says whether a client may try again, None leaves it."""

    status: int
    message: str
    kind: str = "invalid_request_error"
    param: str | None = None
    code: str | None = None
    retry: bool | None = None
    retry_after: float | None = None
    allow: str | None = None
    challenge: str | None = None
    """How to say who one is, with a 401."""


def wrong_method(allowed: str) -> HTTPError:
    """The answer to a method that the route does not have."""
    return HTTPError(
        405, f"This route takes {allowed} only.", code="method_not_allowed", allow=allowed
    )


def internal_error() -> HTTPError:
    """The answer to a fault of ours."""
    return HTTPError(
        500,
        "Internal error; the log has it under the request id that the header x-request-id tells.",
        kind="server_error",
        code="internal_error",
        retry=False,
    )


@dataclass(frozen=True, slots=True)
class _Row:
    status: int
    kind: str
    code: str
    retry: bool


# The most specific class first. 401 and 403 of an upstream are never the caller's.
_TABLE: tuple[tuple[type[EmbeddingError], _Row], ...] = (
    (UnknownModel, _Row(404, "invalid_request_error", "model_not_found", retry=False)),
    (InputTooLong, _Row(400, "invalid_request_error", "context_length_exceeded", retry=False)),
    (InvalidRequest, _Row(400, "invalid_request_error", "invalid_request", retry=False)),
    (RateLimited, _Row(429, "rate_limit_error", "rate_limit_exceeded", retry=True)),
    (DeadlineExceeded, _Row(504, "timeout_error", "deadline_exceeded", retry=True)),
    (Overloaded, _Row(429, "rate_limit_error", "overloaded", retry=True)),
    (UpstreamTimeout, _Row(504, "timeout_error", "upstream_timeout", retry=True)),
    (UpstreamUnreachable, _Row(503, "upstream_error", "upstream_unreachable", retry=True)),
    (WrongSpace, _Row(503, "upstream_error", "wrong_vector_space", retry=False)),
    (LoginDown, _Row(502, "upstream_error", "upstream_error", retry=True)),
    (UpstreamRefused, _Row(502, "upstream_error", "upstream_error", retry=False)),
    (UpstreamDefect, _Row(502, "upstream_error", "upstream_error", retry=False)),
    (UpstreamError, _Row(502, "upstream_error", "upstream_error", retry=True)),
    (EmbeddingError, _Row(500, "server_error", "internal_error", retry=False)),
)


def from_embedding_error(error: EmbeddingError) -> HTTPError:
    """The answer for an error of the stack."""
    row = next(row for kind, row in _TABLE if isinstance(error, kind))
    param = error.param if isinstance(error, InvalidRequest) else _place(error)
    code = error.code if isinstance(error, InvalidRequest) else None
    message = error.message
    if error.upstream is not None:
        message = f"{message} (upstream {error.upstream!r})"
    return HTTPError(
        row.status, message, row.kind, param, code or row.code, row.retry, error.retry_after
    )


def _place(error: EmbeddingError) -> str | None:
    """Which texts it is about, as OpenAI's API writes places."""
    if not isinstance(error, BadVector):
        return None
    return ", ".join(f"input[{row}]" for row in error.named) or None


def error_reply(error: HTTPError) -> Reply:
    """The answer in OpenAI's form."""
    body = msgspec.json.encode(
        {
            "error": {
                "message": error.message,
                "type": error.kind,
                "param": error.param,
                "code": error.code,
            }
        }
    )
    return error_reply_of(error, status=error.status, body=body)


def error_reply_of(error: HTTPError, *, status: int, body: bytes) -> Reply:
    """The answer in whichever form the body is, with the headers that go with the error."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if error.retry is not None:
        headers.append((b"x-should-retry", b"true" if error.retry else b"false"))
    if error.retry_after is not None:
        headers.append((b"retry-after", str(math.ceil(error.retry_after)).encode()))
    if error.allow is not None:
        headers.append((b"allow", error.allow.encode()))
    if error.challenge is not None:
        headers.append((b"www-authenticate", error.challenge.encode()))
    return status, headers, body
