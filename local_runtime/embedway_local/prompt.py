"""Which prompts a model's texts get: those of its own files, else those of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from embedway_local.catalogue import known
from embedway_local.error import ModelCorrupt
from embedway_local.setting import Settings

__all__ = ["InputType", "automatic", "by_type", "read_prompts", "require_known"]

InputType: TypeAlias = Literal["query", "document"]

# Under which names models state the prompt of each.
_NAMES: dict[InputType, tuple[str, ...]] = {
    "query": ("query", "search_query"),
    "document": ("document", "passage", "corpus", "search_document"),
}


def read_prompts(settings: Settings) -> dict[str, str]:
    """
    The prompts of config_sentence_transformers.json, by name.

    Where none is stated for an input type, the default one is. Raises `ModelCorrupt` for a
    default that is none of them.
    """
    prompts = settings.texts("prompts")
    name = settings.values.get("default_prompt_name")
    if not name:
        return prompts
    stated = {"query": "", "document": "", **dict.fromkeys(_keys(settings), ""), **prompts}
    if not isinstance(name, str) or name not in stated:
        raise ModelCorrupt(
            f"{settings.source}: its default_prompt_name {str(name)[:99]!r} is none of its prompts"
        )
    missing = [kind for kind, names in _NAMES.items() if prompts.keys().isdisjoint(names)]
    return prompts | dict.fromkeys(missing, stated[name])


def _keys(settings: Settings) -> list[str]:
    """The names of all prompts, those without a text too."""
    value = settings.values.get("prompts")
    return list(value) if isinstance(value, dict) else []


def require_known(prompts: Mapping[str, str] | str | None) -> None:
    """Raise `ValueError` for a name that would never be asked for, and any word but "auto"."""
    if isinstance(prompts, str) and prompts != "auto":
        raise ValueError(f'prompts={prompts!r}: a mapping, "auto" and None are known')
    for name in prompts if isinstance(prompts, Mapping) else ():
        if not any(name in names for names in _NAMES.values()):
            raise ValueError(
                f'prompts: {name!r} is no input type; "query" and "document" are known'
            )


def by_type(prompts: Mapping[str, str]) -> dict[InputType, str]:
    """The prompt of each input type, under the names that models use for them."""
    return {
        kind: next((prompts[name] for name in names if name in prompts), "")
        for kind, names in _NAMES.items()
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
