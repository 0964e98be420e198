"""One HTTP exchange with an upstream, as values: what to send, and what came back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["HTTPCall", "HTTPReply", "Transport"]


@dataclass(frozen=True, slots=True)
class HTTPCall:
    """A request, signed and ready to send. Its repr has neither credentials nor texts."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class HTTPReply:
    """A whole answer; the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Transport(Protocol):
    """
    Carries calls. Raises `UpstreamUnreachable` when no answer came, and `BadReply` when its body
    exceeds the bound, which is enforced while reading. Redirects are never followed.
    """

    async def send(self, call: HTTPCall) -> HTTPReply: ...
