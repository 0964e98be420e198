"""Says which tokens attend to which, where that depends on how far they are apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from embedway_local.graph.block import Blocks

__all__ = ["apart", "causal", "windowed"]


def apart(blocks: Blocks) -> str:
    """How far each key is behind its query, int64 (length, length); negative before it."""
    graph, add = blocks.graph, blocks.graph.add
    zero, one = (graph.weight(np.array(value, dtype=np.int64)) for value in (0, 1))
    steps = add("Range", zero, add("Squeeze", blocks.length(), graph.integers(0)), one)
    keys = add("Unsqueeze", steps, graph.integers(0))
    return add("Sub", keys, add("Unsqueeze", steps, graph.integers(1)))


def windowed(blocks: Blocks, bias: str, reach: int) -> str:
    """The bias for tokens that see others up to `reach` away, both ways."""
    return _only(blocks, blocks.graph.add("Abs", apart(blocks)), reach, bias)


def causal(blocks: Blocks, bias: str) -> str:
    """The bias for tokens that see themselves and what is before them."""
    return _only(blocks, apart(blocks), 0, bias)


def _only(blocks: Blocks, distance: str, most: int, bias: str) -> str:
    graph = blocks.graph
    seen = graph.add("LessOrEqual", distance, graph.weight(np.array(most, dtype=np.int64)))
    # Chosen, not added: two of these numbers together would be minus infinity.
    lowest = graph.scalar(float(np.finfo(np.float32).min))
    return graph.add("Where", seen, bias, lowest)
