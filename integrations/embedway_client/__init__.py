"""What the framework classes share: embeds and reranks through a gateway, or in this process."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedway_client.attempt import Pace
    from embedway_client.auth import OCIAuth
    from embedway_client.client import Client
    from embedway_client.credential import aicore_credentials
    from embedway_client.embedding import EmbeddingResult
    from embedway_client.error import AuthenticationFailed, VectorSpaceChanged
    from embedway_client.usage import UsageCollector, UsageEvent, collect_usage
    from embedway_upstream.rerank import RerankResult

__all__ = [
    "AuthenticationFailed",
    "Client",
    "EmbeddingResult",
    "OCIAuth",
    "Pace",
    "RerankResult",
    "UsageCollector",
    "UsageEvent",
    "VectorSpaceChanged",
    "aicore_credentials",
    "collect_usage",
]

# Imported when first named (PEP 562): numpy and the rest take 0.1 s, which importing a framework's
# class would pay for nothing.
_HOMES = {
    "AuthenticationFailed": "embedway_client.error",
    "Client": "embedway_client.client",
    "EmbeddingResult": "embedway_client.embedding",
    "OCIAuth": "embedway_client.auth",
    "Pace": "embedway_client.attempt",
    "RerankResult": "embedway_upstream.rerank",
    "UsageCollector": "embedway_client.usage",
    "UsageEvent": "embedway_client.usage",
    "VectorSpaceChanged": "embedway_client.error",
    "aicore_credentials": "embedway_client.credential",
    "collect_usage": "embedway_client.usage",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
