"""Makes the spans of one process, and hands them over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    Status,
    StatusCode,
    get_current_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from embedway_gateway import __version__
from embedway_gateway.layers.travel import COMPANY

__all__ = ["Tracing", "failed"]

# W3C's two headers and no other: baggage of a caller is nobody's business behind us.
_HEADERS = TraceContextTextMapPropagator()
# Of what found a free slot at once.
_NO_WAIT = 0.0001
_PATIENCE = 2.0


class Tracing:
    """
    `platforms` are those whose upstreams are told the trace. Spans never carry texts, vectors,
    headers, addresses, or the message of an error, which may name what an upstream said.
    """

    def __init__(
        self,
        provider: TracerProvider,
        *,
        platforms: Iterable[str],
        give_up: Callable[[], None] = lambda: None,
    ) -> None:
        """`give_up` ends a wait for the collector, when the process is to end."""
        self._provider = provider
        self._give_up = give_up
        self._tracer = provider.get_tracer("embedway", __version__)
        self.platforms = frozenset(platforms)

    def server(self, name: str, headers: Mapping[str, str]) -> Span:
        """Of a request with these headers: a trace of its own unless a valid one is stated."""
        parent = _HEADERS.extract(headers, context=Context())
        return self._tracer.start_span(name, context=parent, kind=SpanKind.SERVER)

    def client(self, name: str, attributes: Mapping[str, AttributeValue]) -> Span | None:
        """
        Of a call, below the span that is current, with links to those of the other requests that
        it carries; None where there is none: the request is not sampled, which the upstream is told
        all the same, or the gateway calls for itself.
        """
        if not get_current_span().is_recording():
            return None
        # Each context knows its own current span.
        spans = [context.run(get_current_span) for context in COMPANY.get()]
        return self._tracer.start_span(
            name,
            kind=SpanKind.CLIENT,
            attributes=attributes,
            links=[Link(span.get_span_context()) for span in spans],
        )

    def queued(self, begun: float, ended: float) -> None:
        """That the current request waited for a slot, by the monotonic clock."""
        if ended - begun < _NO_WAIT or not get_current_span().is_recording():
            return
        # Spans are dated by the other clock.
        now = time.time_ns() - int((time.monotonic() - ended) * 1e9)
        span = self._tracer.start_span("queue", start_time=now - int((ended - begun) * 1e9))
        span.end(now)

    def headers(self) -> dict[str, str]:
        """What tells the next server of the current span; empty where there is none."""
        found: dict[str, str] = {}
        _HEADERS.inject(found)
        return found

    async def close(self) -> None:
        """Hand over what is left; for a collector that is away nobody waits long."""
        ending = asyncio.create_task(asyncio.to_thread(self._provider.shutdown))
        await asyncio.wait({ending}, timeout=_PATIENCE)
        if not ending.done():
            self._give_up()
        await ending


def failed(span: Span, kind: str) -> None:
    """Note the kind of an error, and nothing of its words."""
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))
