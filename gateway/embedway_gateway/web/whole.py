"""Answers that are whole when they begin: one message of ours instead of two of ASGI's."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.types import Message, Scope, Send

from embedway_gateway.web.protocol import CONNECTION, Protocol

__all__ = ["WHOLE", "Head", "send_whole", "whole"]

WHOLE = "embedway.response"
"""The type of the message; whoever stands between may ask it for its `status`, as of any other."""

_STATUS_LINE = b"HTTP/1.1 200 OK\r\n"


class Head:
    """Headers of answers with status 200, all but those that differ from request to request."""

    __slots__ = ("headers", "written")

    def __init__(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self.headers = tuple(headers)
        self.written = _STATUS_LINE + _written(headers)
        """As they are sent, the line before them too. Raises `ValueError` for what cannot be."""


def whole(head: Head, body: bytes) -> Message:
    """The message."""
    return {"type": WHOLE, "status": 200, "head": head, "body": body}


async def send_whole(
    scope: Scope, send: Send, message: Message, more: Sequence[tuple[bytes, bytes]], *, last: bool
) -> None:
    """
    Pass the message on, with further headers: at once where that can be, or as ASGI has it. `last`
    is whether the connection ends with it.
    """
    head: Head = message["head"]
    body: bytes = message["body"]
    connection = scope.get(CONNECTION)
    if isinstance(connection, Protocol) and not last:
        written = b"%b%bcontent-length: %d\r\n\r\n" % (head.written, _written(more), len(body))
        if connection.write_whole(scope, written, body):
            return
    headers = [*head.headers, (b"content-length", b"%d" % len(body)), *more]
    if last:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _written(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    written = b"".join([b"%b: %b\r\n" % header for header in headers])
    # One line for each, or what one holds would be another.
    if written.count(b"\n") != len(headers) or written.count(b"\r") != len(headers):
        raise ValueError("a header holds the end of a line")
    return written
