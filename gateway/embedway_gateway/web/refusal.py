"""What a connection is told that is refused before there is a request to answer."""

from __future__ import annotations

from uuid import uuid4

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from embedway_gateway.log import report
from embedway_gateway.web.error import HTTPError, error_reply

__all__ = ["full", "not_http", "too_large", "too_many", "too_slow", "written"]


def written(error: HTTPError) -> bytes:
    """The whole answer, which ends the connection; the log has a line for it, as for any other."""
    status, headers, body = error_reply(error)
    request = uuid4().hex
    report({"request_id": request, "status": status, "refused": error.code})
    headers = [*headers, (b"x-request-id", request.encode())]
    lines = [name + b": " + value + b"\r\n" for name, value in headers]
    return b"".join([STATUS_LINE[status], *lines, b"connection: close\r\n\r\n", body])


def full() -> HTTPError:
    """All connections are busy."""
    return HTTPError(
        503,
        "The gateway has all the connections that it takes; try again.",
        kind="server_error",
        code="too_many_connections",
        retry=True,
        retry_after=1.0,
    )


def too_large() -> HTTPError:
    """A head, or what stands between chunks."""
    return HTTPError(431, "The request's headers are too large.", code="headers_too_large")


def too_many() -> HTTPError:
    """Requests that were sent before the first of them was answered."""
    return HTTPError(
        429,
        "Too many requests at once on one connection; wait for answers, or open another.",
        kind="rate_limit_error",
        code="overloaded",
        retry=True,
    )


def too_slow(seconds: float) -> HTTPError:
    """A head that is not whole in time."""
    message = f"The request's headers did not come within {seconds:g} seconds."
    return HTTPError(408, message, code="header_timeout", retry=True)


def not_http() -> HTTPError:
    """Whatever cannot be read, or in two ways."""
    return HTTPError(400, "What was sent is not a request of HTTP/1.1.", code="not_http")
