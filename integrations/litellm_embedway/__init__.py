"""Embedway for LiteLLM: embeddings through a gateway, or from a deployment that it signs for."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from litellm_embedway.provider import EmbedwayLLM, embedway, register

__all__ = ["EmbedwayLLM", "embedway", "register"]


def __getattr__(name: str) -> object:
    # When first named (PEP 562): LiteLLM takes seconds to import.
    if name in __all__:
        from litellm_embedway import provider

        return getattr(provider, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
