"""Tells an upstream which trace a call belongs to."""

from __future__ import annotations

from dataclasses import replace

from embedway_gateway.tracing.tracing import Tracing
from embedway_upstream import HTTPCall, HTTPReply
from embedway_upstream.flow import HTTPFlow, StreamTransport

__all__ = ["Carry"]


class Carry:
    """
    A transport that adds `traceparent`, and the caller's `tracestate`, to what is signed already:
    they are never in a signature's list of headers, and cannot break it.
    """

    def __init__(self, inner: StreamTransport, tracing: Tracing) -> None:
        self._inner = inner
        self._tracing = tracing

    async def send(self, call: HTTPCall) -> HTTPReply:
        """One exchange."""
        return await self._inner.send(self._told(call))

    async def open(self, call: HTTPCall) -> HTTPFlow:
        """One exchange, of which the body is still to come."""
        return await self._inner.open(self._told(call))

    def _told(self, call: HTTPCall) -> HTTPCall:
        headers = self._tracing.headers()
        return replace(call, headers={**call.headers, **headers}) if headers else call
