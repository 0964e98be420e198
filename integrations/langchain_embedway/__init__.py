"""Embedway for LangChain: embeddings, reranking and chat through a gateway, or in this process."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedway_client.usage import UsageCollector, UsageEvent, collect_usage
    from langchain_embedway.chat import chat_model
    from langchain_embedway.embeddings import EmbedwayEmbeddings
    from langchain_embedway.rerank import EmbedwayRerank

__all__ = [
    "EmbedwayEmbeddings",
    "EmbedwayRerank",
    "UsageCollector",
    "UsageEvent",
    "chat_model",
    "collect_usage",
]

# Imported when first named (PEP 562): LangChain's base classes alone take 0.25 s.
_HOMES = {
    "EmbedwayEmbeddings": "langchain_embedway.embeddings",
    "EmbedwayRerank": "langchain_embedway.rerank",
    "UsageCollector": "embedway_client.usage",
    "UsageEvent": "embedway_client.usage",
    "chat_model": "langchain_embedway.chat",
    "collect_usage": "embedway_client.usage",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
