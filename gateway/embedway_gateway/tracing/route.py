"""The span of one request: from before its caller is known until its answer is sent."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from opentelemetry.trace import Span, format_trace_id, use_span
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from embedway_gateway.layers.observe import outcome
from embedway_gateway.tracing.tracing import Tracing, failed
from embedway_gateway.web.body import header
from embedway_gateway.web.error import HTTPError, from_embedding_error
from embedway_upstream import EmbeddingError

__all__ = ["TracedRoute"]

_STATED = ("traceparent", "tracestate")
# From the facts of the log's line to the names that OpenTelemetry has for them.
_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "model": "gen_ai.request.model",
        "upstream": "embedway.upstream",
        "texts": "embedway.texts",
    }
)


class TracedRoute:
    """
    Stands right above a route; `operation` is what `gen_ai.operation.name` calls it. Errors pass
    as they come.
    """

    def __init__(self, route: ASGIApp, tracing: Tracing, *, path: str, operation: str) -> None:
        self._route = route
        self._tracing = tracing
        self._path = path
        self._operation = operation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stated = {name: header(scope, name.encode()) for name in _STATED}
        headers = {name: value.decode("latin-1") for name, value in stated.items() if value}
        span = self._tracing.server(f"POST {self._path}", headers)
        scope["embedway.trace"] = format_trace_id(span.get_span_context().trace_id)
        if not span.is_recording():
            with use_span(span, record_exception=False, set_status_on_exception=False):
                await self._route(scope, receive, send)
            return
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            # Of a body's pieces there is none.
            status = message.get("status", status)
            await send(message)

        try:
            with use_span(span, record_exception=False, set_status_on_exception=False):
                await self._route(scope, receive, noting)
        except BaseException as error:
            status = status or _status(error)
            if status >= 500:
                failed(span, outcome(error))
            raise
        finally:
            self._describe(span, scope, status)
            span.end()

    def _describe(self, span: Span, scope: Scope, status: int) -> None:
        span.set_attribute("http.request.method", "POST")
        span.set_attribute("http.route", self._path)
        span.set_attribute("http.response.status_code", status)
        span.set_attribute("gen_ai.operation.name", self._operation)
        if request := scope.get("embedway.request"):
            span.set_attribute("embedway.request_id", request)
        if caller := scope.get("embedway.caller"):
            span.set_attribute("embedway.key", caller)
        facts = scope.get("embedway.facts", {})
        for fact, name in _NAMES.items():
            if fact in facts:
                span.set_attribute(name, facts[fact])
        if "tokens" in facts:
            # A chat's are those of question and answer together.
            asked = self._operation in {"embeddings", "rerank"}
            name = "gen_ai.usage.input_tokens" if asked else "embedway.tokens"
            span.set_attribute(name, facts["tokens"])


def _status(error: BaseException) -> int:
    if isinstance(error, EmbeddingError):
        return from_embedding_error(error).status
    return error.status if isinstance(error, HTTPError) else 500
