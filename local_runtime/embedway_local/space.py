"""What two vectors must share to be comparable, and its fingerprint."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from embedway_local.pooling import Pooling
from embedway_local.precision import Precision

__all__ = ["VectorSpace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorSpace:
    """
    Everything that decides which vector a text gets.

    Names do not count: the same weights under two names are one space.
    """

    weights: str
    """SHA-256 over the files that hold the weights."""
    tokenizer: str
    """SHA-256 of tokenizer.json, and of what other settings change of it."""
    dimensions: int
    pooling: Pooling
    max_tokens: int
    lowercase: bool
    query_prompt: str
    document_prompt: str
    precision: Precision = "fp32"
    recipe: int = 0
    """How the weights of this precision were made; 0 where they are the checkpoint's own."""
    encoder: str = ""
    """What config.json says of the encoder and the weights do not, as JSON; empty if nothing."""

    @property
    def fingerprint(self) -> str:
        """`vs1-` and 16 hexadecimal digits; equal if and only if the fields are."""
        values = asdict(self)
        # They came later, and where they say nothing, what users have kept stays.
        for name in ("recipe", "encoder"):
            if not values[name]:
                del values[name]
        facts = json.dumps(values, sort_keys=True, ensure_ascii=True)
        return f"vs1-{hashlib.sha256(facts.encode()).hexdigest()[:16]}"
