"""Which prompts a model's texts get: those of its own files, else those of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from embedway_local.catalogue import known

__all__ = ["InputType", "automatic", "by_type"]

InputType: TypeAlias = Literal["query", "document"]


def by_type(prompts: Mapping[str, str]) -> dict[InputType, str]:
    """The prompt of each input type, under the names that models use for them."""

    def first(*names: str) -> str:
        return next((prompts[name] for name in names if name in prompts), "")

    return {
        "query": first("query", "search_query"),
        "document": first("document", "passage", "corpus", "search_document"),
    }


def automatic(name: str, own: Mapping[str, str]) -> dict[InputType, str]:
    """
    What `prompts: auto` means for a model that declares `own` in its files.

    Empty ones count as undeclared: sentence-transformers writes them for every model.
    """
    declared = by_type(own)
    model = known(name)
    if any(declared.values()) or model is None or model.prompts is None:
        return declared
    return by_type(model.prompts)
