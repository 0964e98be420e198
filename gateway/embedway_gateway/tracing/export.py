"""Sends spans to a collector, in the background."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from embedway_gateway import __version__
from embedway_gateway.tracing.tracing import Tracing

__all__ = ["exported"]


def exported(
    *,
    endpoint: str | None,
    headers: Mapping[str, str],
    sample: float | None,
    service: str,
    platforms: Iterable[str],
) -> Tracing:
    """What is None is as OpenTelemetry's variables say, or its own default."""
    provider = TracerProvider(
        sampler=None if sample is None else ParentBased(TraceIdRatioBased(sample)),
        resource=Resource.create({"service.name": service, "service.version": __version__}),
        # The gateway ends it, after the last request.
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=endpoint, headers=dict(headers) or None)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider, platforms=platforms, give_up=exporter.shutdown)
