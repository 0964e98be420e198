"""Turns token vectors into one unit-length vector a text, inside the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

if TYPE_CHECKING:
    from embedway_local.graph.parts import Graph
    from embedway_local.pooling import Pooling

__all__ = ["normalize", "pool"]


def pool(graph: Graph, tokens: str, mask: str, pooling: Pooling) -> str:
    """
    Pool (batch, length, hidden) into (batch, hidden).

    `mask` is float32 (batch, length), one where there is a token; padding is on the right.
    """
    if pooling == "cls":
        return graph.add("Gather", tokens, graph.weight(np.array(0, dtype=np.int64)), axis=1)
    one = graph.integers(1)
    counts = graph.add("ReduceSum", mask, one, keepdims=1)
    if pooling == "mean":
        total = graph.add("MatMul", graph.add("Unsqueeze", mask, one), tokens)
        # A text without any token gets the zero vector, not a division by zero.
        counts = graph.add("Max", counts, graph.scalar(1))
        return graph.add("Div", graph.add("Squeeze", total, one), counts)
    last = graph.add("Sub", graph.add("Cast", counts, to=TensorProto.INT64), one)
    return graph.add("GatherND", tokens, last, batch_dims=1)


def normalize(graph: Graph, vectors: str) -> str:
    """Scale each row to unit length, as `torch.nn.functional.normalize` does (epsilon 1e-12)."""
    # Spelled out, because ReduceL2 takes its axes in another place before opset 18.
    squares = graph.add("Mul", vectors, vectors)
    length = graph.add("Sqrt", graph.add("ReduceSum", squares, graph.integers(-1), keepdims=1))
    return graph.add("Div", vectors, graph.add("Max", length, graph.scalar(1e-12)))
