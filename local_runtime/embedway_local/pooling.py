"""How token vectors become one vector."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["Pooling"]

# The first token's vector, the mean over all tokens, or the last token's vector.
Pooling: TypeAlias = Literal["cls", "mean", "last"]
