"""The span of one call of an upstream, whatever became of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from opentelemetry.trace import use_span
from opentelemetry.util.types import AttributeValue

from embedway_gateway.layers.ending import at_end
from embedway_gateway.layers.observe import outcome
from embedway_gateway.tracing.tracing import Tracing, failed
from embedway_upstream import EmbeddingRequest, EmbeddingResponse, RerankRequest, Service
from embedway_upstream.chat import ChatRequest

__all__ = ["TraceAttempt"]

Request = TypeVar("Request", EmbeddingRequest, RerankRequest, ChatRequest)
Reply = TypeVar("Reply")


class TraceAttempt(Generic[Request, Reply]):
    """
    Stands below Limit, whose wait is not the call's. `upstream` is a name of the configuration: a
    span never says where that is. A stream's span ends with it.
    """

    def __init__(
        self,
        inner: Service[Request, Reply],
        tracing: Tracing,
        *,
        model: str,
        upstream: str,
        engine: str,
    ) -> None:
        self._inner: Service[Request, Reply] = inner
        self._tracing = tracing
        self._model = model
        self._facts: Mapping[str, AttributeValue] = {
            "gen_ai.provider.name": engine,
            "gen_ai.request.model": model,
            "server.address": upstream,
        }

    async def send(self, request: Request) -> Reply:
        """Send, within a span if the request has one."""
        operation = _operation(request)
        facts = {**self._facts, "gen_ai.operation.name": operation}
        span = self._tracing.client(f"{operation} {self._model}", facts)
        if span is None:
            return await self._inner.send(request)
        if not isinstance(request, ChatRequest):
            span.set_attribute("embedway.texts", _texts(request))
        try:
            with use_span(span, record_exception=False, set_status_on_exception=False):
                reply = await self._inner.send(request)
        except BaseException as error:
            failed(span, outcome(error))
            span.end()
            raise
        if isinstance(reply, EmbeddingResponse):
            span.set_attribute("gen_ai.usage.input_tokens", reply.usage.total_tokens)
            span.set_attribute("gen_ai.embeddings.dimension.count", reply.vectors.shape[1])
        at_end(reply, span.end)
        return reply


def _operation(request: EmbeddingRequest | RerankRequest | ChatRequest) -> str:
    if isinstance(request, EmbeddingRequest):
        return "embeddings"
    if isinstance(request, RerankRequest):
        return "rerank"
    return "chat" if request.task == "chat" else "text_completion"


def _texts(request: EmbeddingRequest | RerankRequest) -> int:
    return len(request.inputs if isinstance(request, EmbeddingRequest) else request.documents)
