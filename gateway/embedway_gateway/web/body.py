"""Reads a request's body, never more of it than is allowed."""

from __future__ import annotations

from starlette.types import Receive, Scope

from embedway_gateway.web.error import HTTPError

__all__ = ["header", "read_json_body"]

_KNOWN = "embedway.known_headers"
_DIGITS = 18


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of that lower-case name."""
    known: dict[bytes, bytes] | None = scope.get(_KNOWN)
    if known is None:
        # Six are asked for in a request, and clients send up to twenty.
        known = scope[_KNOWN] = dict(reversed(scope["headers"]))
    return known.get(name)


async def read_json_body(scope: Scope, receive: Receive, most: int) -> bytes:
    """
    The whole body of a JSON request of at most `most` bytes.

    Raises `HTTPError`: 415 for another content type or a content encoding, 413 as soon as the
    body is known to be too large, 400 when it ends early.
    """
    _require_json(scope)
    stated = header(scope, b"content-length")
    if stated is not None and stated.isdigit():
        # Python reads no number of thousands of digits, be they zeros.
        digits = stated.lstrip(b"0")
        if len(digits) > _DIGITS or int(digits or b"0") > most:
            raise _too_large(most)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HTTPError(400, "The request's body ended early.", code="body_incomplete")
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > most:
            raise _too_large(most)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _require_json(scope: Scope) -> None:
    stated = header(scope, b"content-type") or b""
    if (
        stated != b"application/json"
        and stated.partition(b";")[0].strip().lower() != b"application/json"
    ):
        raise HTTPError(
            415,
            "The body must be JSON: send the header 'Content-Type: application/json'.",
            code="unsupported_media_type",
        )
    encoding = header(scope, b"content-encoding")
    if encoding and encoding.strip().lower() != b"identity":
        raise HTTPError(
            415,
            "Compressed bodies are not accepted: send the body without Content-Encoding.",
            code="unsupported_content_encoding",
        )


def _too_large(most: int) -> HTTPError:
    return HTTPError(
        413,
        f"The body is larger than {most} bytes; send the inputs in several requests.",
        code="body_too_large",
    )
