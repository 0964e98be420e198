"""Where a model's own files say other than the catalogue; the files win, and it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedway_local.prompt import by_type

if TYPE_CHECKING:
    from embedway_local.catalogue import KnownModel
    from embedway_local.checkpoint import Checkpoint

__all__ = ["conflicts"]


def conflicts(checkpoint: Checkpoint, known: KnownModel) -> list[str]:
    """A clause for each fact that both state, and state differently."""
    own = by_type(checkpoint.prompts)
    listed = own if known.prompts is None else by_type(known.prompts)
    pairs: list[tuple[str, object, object]] = [
        ("model_type", checkpoint.config.values.get("model_type"), known.architecture),
        ("dimensions", checkpoint.hidden, known.dimensions),
        ("max_tokens", checkpoint.max_tokens, known.max_tokens),
        ("pooling", checkpoint.pooling, known.pooling),
    ]
    if any(own.values()):
        pairs += [("query prompt", own["query"], listed["query"])]
        pairs += [("document prompt", own["document"], listed["document"])]
    return [
        f"{fact} {ours!r}, not {theirs!r}"
        for fact, ours, theirs in pairs
        if ours is not None and theirs is not None and ours != theirs
    ]
