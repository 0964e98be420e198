"""What the gateway must answer over a stand-in: the engine's own vectors, pooled where need be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def own(column: str, server: Any, texts: Sequence[str]) -> NDArray[np.float32]:
    """
    The engine's own answer for each text. Only `score.py` may have none, but a vector for each
    token, of which the configuration names the first ("score-cls") or the mean.
    """
    if not column.startswith("score") or server.pooled:
        vectors: NDArray[np.float32] = server.vectors(texts)
        return vectors
    found = []
    for text in texts:
        tokens = server.tokens(text).astype(np.float64)
        vector = tokens[0] if column == "score-cls" else tokens.sum(axis=0) / len(tokens)
        found.append(vector / np.sqrt((vector * vector).sum()))
    return np.array(found, np.float32)
