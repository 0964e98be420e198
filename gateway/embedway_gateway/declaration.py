"""The fingerprint of a space that cannot be looked into: of what is declared, and was seen."""

from __future__ import annotations

import hashlib
import json

from embedway_gateway.comparison import references_of
from embedway_gateway.config.schema import ModelConfig, PromptConfig
from embedway_gateway.layers.reference import Mark

__all__ = ["declared"]


def declared(config: ModelConfig, mark: Mark | None = None) -> str:
    """
    `vs1d-` and 16 hexadecimal digits. Addresses and names of upstreams do not count, which change
    with every new deployment of the same model, but who is stated to define the space does. Of a
    model that was found nobody states it, nor which weights are deployed: the mark tells then which
    deployment defined it.
    """
    # `auto`, where nobody wrote them out: what they are is then the local model's to tell.
    prompts = config.known_prompts or config.prompts
    facts = {
        "name": config.name,
        "revision": config.revision,
        "dimensions": config.dimensions,
        "max_tokens": config.max_tokens,
        "pooling": config.upstreams[references_of(config)[0]].pooling,
        "prompts": prompts.model_dump() if isinstance(prompts, PromptConfig) else None,
        "reference": config.reference,
        "origin": mark.origin if mark else "",
        "changes": mark.changes if mark else 0,
    }
    text = json.dumps(facts, sort_keys=True)
    return f"vs1d-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
