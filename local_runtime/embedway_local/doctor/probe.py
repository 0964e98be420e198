"""Makes a small graph for machines without a model, so that a card can be tried all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper

from embedway_local.graph.build import save
from embedway_local.graph.parts import Graph
from embedway_local.graph.pool import normalize

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["write_probe"]

_SIZE = 64


def write_probe(folder: Path) -> Path:
    """Write a graph with the operators that encoders spend their time in; returns its path."""
    random = np.random.default_rng(0)

    def weight(*shape: int) -> str:
        return graph.weight(random.normal(scale=0.2, size=shape).astype(np.float32))

    graph = Graph()
    rows = graph.add("Gather", weight(32, _SIZE), "ids")
    scores = graph.add("Softmax", graph.add("MatMul", rows, weight(_SIZE, _SIZE)), axis=-1)
    wide = graph.add("Gelu", graph.add("MatMul", scores, weight(_SIZE, _SIZE)))
    scale, bias = weight(_SIZE), weight(_SIZE)
    even = graph.add("LayerNormalization", wide, scale, bias, axis=-1, epsilon=1e-6)
    first = graph.weight(np.array(0, dtype=np.int64))
    vectors = normalize(graph, graph.add("Gather", even, first, axis=1))
    ids = helper.make_tensor_value_info("ids", TensorProto.INT32, ["batch", "length"])
    path = folder / "probe.onnx"
    save(graph.model([ids], vectors, _SIZE), path)
    return path
