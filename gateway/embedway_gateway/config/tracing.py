"""Where traces go, and which requests are traced."""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from embedway_gateway.config.strict import Strict

if TYPE_CHECKING:
    from embedway_gateway.tracing.tracing import Tracing

__all__ = ["TracingConfig", "make_tracing", "require_extra"]

_log = logging.getLogger("embedway.gateway")

_PATH = "/v1/traces"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class TracingConfig(Strict):
    """An OpenTelemetry collector that takes OTLP over HTTP."""

    endpoint: str | None = None
    """Its address, such as `http://collector:4318`; none is `OTEL_EXPORTER_OTLP_ENDPOINT`."""
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    """What it wants to be sent beside, such as an API key."""
    sample: float | None = Field(default=None, ge=0, le=1)
    """
    The share of requests that are traced, where the caller has not decided; none is
    `OTEL_TRACES_SAMPLER`, else all.
    """
    service: str | None = Field(default=None, min_length=1)
    """The name of the gateway in traces; none is `OTEL_SERVICE_NAME`, else `embedway`."""
    platforms: tuple[Literal["plain", "oci", "aicore"], ...] = ("plain", "aicore")
    """
    Whose upstreams are sent `traceparent`. It is not signed; whether OCI passes it on is not known.
    """

    @field_validator("endpoint")
    @classmethod
    def _is_address(cls, endpoint: str | None) -> str | None:
        if endpoint is None:
            return None
        parts = urlsplit(endpoint)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("endpoint must begin with http:// or https:// and name a host")
        if parts.username or parts.query or parts.fragment:
            raise ValueError("endpoint must have no user, query or fragment")
        return endpoint


def make_tracing(config: TracingConfig | None) -> Tracing | None:
    """
    None where nobody asked for traces: neither the file nor OpenTelemetry's own variables, of which
    its library reads the rest. Raises `ImportError` where the file asks and the extra is missing.
    """
    if _disabled():
        return None
    if config is None and not _asked():
        return None
    try:
        # Imported here: it is an extra of its own.
        from embedway_gateway.tracing.export import exported
    except ImportError as error:
        if config is not None:
            raise
        _log.warning("no traces: %s is not installed (the extra is embedway[otel])", error.name)
        return None
    config = config or TracingConfig()
    return exported(
        endpoint=_whole(config.endpoint),
        headers={name: value.get_secret_value() for name, value in config.headers.items()},
        sample=config.sample,
        service=config.service or os.environ.get("OTEL_SERVICE_NAME") or "embedway",
        platforms=config.platforms,
    )


def require_extra(config: TracingConfig | None) -> None:
    """Raise `ImportError` where `make_tracing` would."""
    name = "opentelemetry.exporter.otlp.proto.http"
    if config is not None and not _disabled() and find_spec(name) is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _disabled() -> bool:
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def _asked() -> bool:
    """Whether OpenTelemetry's variables turn traces on."""
    refused = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"
    return not refused and any(os.environ.get(name) for name in _ENDPOINTS)


def _whole(endpoint: str | None) -> str | None:
    if endpoint is None or endpoint.rstrip("/").endswith(_PATH):
        return endpoint
    return endpoint.rstrip("/") + _PATH
