"""What the gateway counts, for Prometheus."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

__all__ = ["Metrics"]

# A cache hit or a short query takes 0.2 ms, a large batch on a processor a minute.
_SECONDS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1),
    *(0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)


class Metrics:
    """The metrics of one gateway, in a registry of their own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.requests = self._counter(
            "requests", "Requests, by outcome: ok, or the error's code.", "model", "outcome"
        )
        self.seconds = self._histogram("request_seconds", "Time from reading to answer.", "model")
        self.texts = self._counter("texts", "Texts embedded.", "model", "upstream")
        self.tokens = self._counter("tokens", "Tokens read by the model.", "model", "upstream")
        self.truncated = self._counter(
            "truncated_texts", "Texts cut at the model's maximum.", "model", "upstream"
        )
        self.fallbacks = self._counter(
            "fallbacks", "Requests that an upstream of a lower priority answered.", "model"
        )
        self.attempts = self._counter(
            "upstream_attempts",
            "Calls of an upstream, by outcome: ok, or the kind of error.",
            *("model", "upstream", "outcome"),
        )
        self.attempt_seconds = self._histogram(
            "upstream_seconds", "Time of one call of an upstream.", "model", "upstream"
        )
        self.in_flight = Gauge(
            "embedway_upstream_in_flight",
            "Calls of an upstream that run now.",
            ["model", "upstream"],
            registry=self.registry,
            multiprocess_mode="livesum",
        )

    def collected(self) -> CollectorRegistry:
        """What `/metrics` shows: of all workers when there are several, which share a folder."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return self.registry
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return together

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"embedway_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"embedway_{name}", text, labels, registry=self.registry, buckets=_SECONDS)
