"""Embedway for LangChain: embeddings through a gateway, or in this process."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_embedway.embeddings import EmbedwayEmbeddings

__all__ = ["EmbedwayEmbeddings"]


def __getattr__(name: str) -> object:
    # When first named (PEP 562): LangChain's base classes alone take 0.25 s.
    if name == "EmbedwayEmbeddings":
        from langchain_embedway.embeddings import EmbedwayEmbeddings

        return EmbedwayEmbeddings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
