"""Which errors are ours, to be told in a sentence, and what the sentence is."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["told"]

# By name, because importing them costs half a second: one that was raised is imported already.
_OURS = (
    ("embedway_local.error", "LocalError"),
    ("embedway_upstream.error", "EmbeddingError"),
    ("embedway_deploy.error", "DeployError"),
    ("embedway_gateway.bulk.error", "BulkError"),
    ("embedway_gateway.access.file", "KeysError"),
    ("embedway_gateway.config.load", "ConfigError"),
    ("embedway_gateway.place.error", "PlaceError"),
    ("embedway_gateway.serve", "CannotListen"),
    ("embedway_gateway.supervise", "WorkersFail"),
    ("embedway_gateway.usage.book", "BookUnavailable"),
)

_EXTRAS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "redis": ("redis",),
        "deploy": ("ads", "oci"),
        "plot": ("matplotlib",),
        "eval": ("mteb",),
        "local": (
            "huggingface_hub",
            "onnx",
            "onnxruntime",
            "platformdirs",
            "safetensors",
            "tokenizers",
        ),
        "gateway": (
            "aiohappyeyeballs",
            "aiohttp",
            "fastapi",
            "filelock",
            "httptools",
            "orjson",
            "prometheus_client",
            "pydantic",
            "starlette",
            "uvicorn",
            "yaml",
        ),
        "oidc": ("jwt",),
        "otel": ("opentelemetry",),
        "parquet": ("pyarrow",),
        "ray": ("ray",),
    }
)


def told(error: Exception) -> str | None:
    """The message with its notes, or the extra that is missing; None for what is a bug."""
    if isinstance(error, ImportError):
        missing = (error.name or "").partition(".")[0]
        extra = next((name for name, parts in _EXTRAS.items() if missing in parts), None)
        if extra is None:
            return None
        return f'{missing} is not installed, and this needs it: pip install "embedway[{extra}]"'
    roots = (getattr(sys.modules.get(module), name, None) for module, name in _OURS)
    if not isinstance(error, tuple(root for root in roots if root is not None)):
        return None
    return "\n".join([str(error), *getattr(error, "__notes__", ())])
