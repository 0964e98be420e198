"""Reads the options of an endpoint, and refuses values that they cannot have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from embedway_gateway.layers.prompt import PromptTexts
from embedway_gateway.place.error import PlaceError

if TYPE_CHECKING:
    from embedway_gateway.place.syntax import Spec
    from embedway_upstream.embedding import InputType

__all__ = ["choice", "input_type", "number", "prompts"]


def choice(spec: Spec, name: str, known: Sequence[str]) -> str | None:
    """One of the known values; None where the option is not given."""
    value = spec.options.get(name)
    if value is not None and value not in known:
        raise PlaceError(f"{spec.label}: {name}={value}: known are {', '.join(known)}")
    return value


def number(spec: Spec, name: str) -> int | None:
    """A positive whole number; None where the option is not given."""
    value = spec.options.get(name)
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise PlaceError(f"{spec.label}: {name}={value}: a positive whole number is wanted")
    return int(value)


def input_type(spec: Spec) -> InputType:
    """What the texts are embedded as."""
    return "query" if choice(spec, "input_type", ("query", "document")) == "query" else "document"


def prompts(spec: Spec, own: PromptTexts) -> PromptTexts:
    """Those that are stated here, else the model's own."""
    stated = spec.options.get("prompt")
    query = spec.options.get("query_prompt")
    document = spec.options.get("document_prompt")
    if stated is None:
        return PromptTexts(
            own.query if query is None else query, own.document if document is None else document
        )
    if query is not None or document is not None:
        raise PlaceError(f"{spec.label}: prompt= is both; write query_prompt= or document_prompt=")
    return PromptTexts(stated, stated)
