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
# To parse a request takes 10 µs, and to wait for the upstreams as long as a deadline.
_PHASE_SECONDS = (
    *(0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025),
    *(0.01, 0.05, 0.25, 1.0, 5.0, 30.0),
)
_TEXTS = tuple(2.0**power for power in range(12))


class Metrics:
    """The metrics of one gateway, in a registry of their own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._count_requests()
        self._count_attempts()
        self._watch_spaces()
        self._count_cache()
        self._count_reloads()
        self._count_local()
        self._count_callers()
        self._split_time()
        self._count_calls()
        self._watch_credentials()

    def collected(self) -> CollectorRegistry:
        """What `/metrics` shows: of all workers when there are several, which share a folder."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return self.registry
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return together

    def _count_requests(self) -> None:
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

    def _count_attempts(self) -> None:
        self.attempts = self._counter(
            "upstream_attempts",
            "Calls of an upstream, by outcome: ok, or the kind of error.",
            *("model", "upstream", "outcome"),
        )
        self.attempt_seconds = self._histogram(
            "upstream_seconds",
            "Time of one call of an upstream, without what it waited for a slot.",
            *("model", "upstream"),
        )
        self.in_flight = self._gauge(
            "upstream_in_flight", "Calls of an upstream that run now.", "model", "upstream"
        )
        self.breaker_state = Gauge(
            "embedway_upstream_breaker_state",
            "0 while it is closed, 1 while half-open, 2 while open, of several workers the worst; "
            "-1 once the upstream is served no more.",
            ["model", "upstream"],
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self.concurrency_limit = self._gauge(
            "upstream_concurrency_limit",
            "Calls that an upstream is given at once now.",
            *("model", "upstream"),
        )
        self.hedges = self._counter(
            "hedges",
            "Requests sent to a second upstream, by outcome: won, lost, or failed with the first.",
            *("model", "outcome"),
        )
        self.retries = self._counter("retries", "Attempts after a first that failed.", "model")

    def _watch_spaces(self) -> None:
        self.agreement = Gauge(
            "embedway_upstream_agreement",
            "The smallest cosine with the model's vectors, of the last comparison; "
            "+Inf once the upstream is served no more.",
            ["model", "upstream"],
            registry=self.registry,
            multiprocess_mode="livemin",
        )
        self.quarantined = Gauge(
            "embedway_upstream_quarantined",
            "1 while an upstream serves nothing because its vectors are not the model's.",
            ["model", "upstream"],
            registry=self.registry,
            multiprocess_mode="livemax",
        )

    def _count_cache(self) -> None:
        self.cache_texts = self._counter(
            "cache_texts",
            "Texts that were looked for in the cache, or would have been, by result: hit or miss.",
            *("model", "result"),
        )
        self.cache_evictions = self._counter(
            "cache_evictions", "Entries that the cache in memory dropped to make room."
        )
        self.cache_errors = self._counter(
            "cache_errors",
            "What went wrong with the cache's Redis: read, write, note, broken or dropped.",
            "kind",
        )
        self.cache_bytes = self._gauge("cache_bytes", "Memory that the cache takes.")
        self.cache_entries = self._gauge("cache_entries", "Texts in the cache in memory.")

    def _count_reloads(self) -> None:
        self.reloads = self._counter(
            "config_reloads", "New configurations, by outcome: ok or refused.", "outcome"
        )
        self.reloaded = Gauge(
            "embedway_config_last_reload_success",
            "1 while what is served is what the file says, as far as it was read.",
            registry=self.registry,
            multiprocess_mode="livemin",
        )
        self.reloaded.set(1)

    def _count_local(self) -> None:
        self.local_starts = self._counter(
            "model_process_starts", "Times that the process of the local models was started."
        )
        self.local_models = self._gauge(
            "model_process_models", "Local models that their process holds now."
        )
        self.local_calls = self._gauge(
            "model_process_calls", "Calls that the process of the local models computes now."
        )

    def _count_callers(self) -> None:
        self.key_requests = self._counter(
            "key_requests",
            "Requests of an API key, by outcome: ok, error, or limited.",
            *("key", "outcome"),
        )
        self.key_texts = self._counter("key_texts", "Texts of an API key.", "key")
        self.key_tokens = self._counter("key_tokens", "Tokens of an API key.", "key")
        self.refused = self._counter(
            "refused_callers", "Requests without a valid key or token, by reason.", "reason"
        )
        self.quota_errors = self._counter(
            "limit_errors",
            "What went wrong with the Redis of the limits: admit or settle.",
            "operation",
        )
        self.usage_errors = self._counter(
            "usage_errors", "Times that usage could not be written down or read."
        )
        self.usage_dropped = self._counter(
            "usage_dropped", "Requests whose usage was forgotten, because too much waited."
        )

    def _split_time(self) -> None:
        self.phase_seconds = self._histogram(
            "phase_seconds",
            "Time of a part of a request: parse, queue, sign, upstream, decode, encode; sampled.",
            *("model", "phase"),
            buckets=_PHASE_SECONDS,
        )
        self.batch_texts = self._histogram(
            "upstream_batch_texts",
            "Texts in one call of an upstream; sampled.",
            *("model", "upstream"),
            buckets=_TEXTS,
        )

    def _count_calls(self) -> None:
        self.coalesced_requests = self._counter(
            "coalesced_requests", "Requests whose texts went out or were under way.", "model"
        )
        self.coalesced_calls = self._counter(
            "coalesced_calls", "Calls that they travelled in, tries again not counted.", "model"
        )
        self.signatures_saved = self._counter(
            "signatures_saved",
            "Requests to a model on OCI that needed no signed call of their own.",
            "model",
        )

    def _watch_credentials(self) -> None:
        self.renewals = self._counter(
            "credentials_renewals",
            "Times that credentials were loaded or renewed, by outcome: ok or failed.",
            *("credentials", "outcome"),
        )
        self.renewed = Gauge(
            "embedway_credentials_renewed_timestamp_seconds",
            "When credentials were last loaded or renewed; of several workers the longest ago.",
            ["credentials"],
            registry=self.registry,
            multiprocess_mode="livemin",
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"embedway_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(
            f"embedway_{name}",
            text,
            labels,
            registry=self.registry,
            # Of several workers the sum.
            multiprocess_mode="livesum",
        )

    def _histogram(
        self, name: str, text: str, *labels: str, buckets: tuple[float, ...] = _SECONDS
    ) -> Histogram:
        return Histogram(f"embedway_{name}", text, labels, registry=self.registry, buckets=buckets)
