"""The local runtime's vectors, which everything that is deployed is held against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embedway_local import Pooling

__all__ = ["embed_locally"]


def embed_locally(
    model: str, texts: Sequence[str], *, max_tokens: int | None, pooling: Pooling | None = None
) -> NDArray[np.float32]:
    """Float32 (n, dimensions), without any prompt. Raises a `LocalError`."""
    from embedway_local import LocalEmbedder

    with LocalEmbedder(model, max_tokens=max_tokens, pooling=pooling, prompts={}) as embedder:
        return embedder.embed(list(texts), input_type=None)
