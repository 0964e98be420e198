"""Makes the graph that tells how large the numbers are that projections are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import helper

from embedway_local.graph.parts import OUTPUT, Graph, embedding_output
from embedway_local.graph.projection import Projection, opset, projections

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["calibration", "channels"]


def calibration(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """
    The model with another output, (1, sum of channels): of each projection that is worth
    smoothing, the largest magnitude in each channel of its input.

    To be run with one text at a time, so that there is no padding. None when there is none.
    """
    smooth = [item for item in projections(model).values() if item.smooth]
    if not smooth:
        return None
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = Graph("calibrate")
    found = [_largest(graph, item, opset(model)) for item in smooth]
    whole = graph.add("Concat", *found, axis=1)
    del made.graph.output[:]
    # What made the vectors is not computed: nothing leads to it any more.
    for node in made.graph.node:
        if node.output[0] == OUTPUT:
            node.output[0] = f"{OUTPUT}_unused"
    made.graph.initializer.extend(graph.weights)
    made.graph.node.extend(graph.nodes)
    made.graph.node.append(helper.make_node("Identity", [whole], [OUTPUT]))
    total = sum(item.weight.shape[0] for item in smooth)
    made.graph.output.append(embedding_output(total))
    return made


def channels(model: onnx.ModelProto, found: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """The calibration's output by projection."""
    parts: dict[str, NDArray[np.float32]] = {}
    start = 0
    for name, item in projections(model).items():
        if item.smooth:
            size = item.weight.shape[0]
            parts[name] = found[start : start + size]
            start += size
    return parts


def _largest(graph: Graph, item: Projection, version: int) -> str:
    """The largest magnitude in each channel: (1, channels)."""
    flat = graph.add("Reshape", item.rows, graph.integers(-1, item.weight.shape[0]))
    size = graph.add("Abs", flat)
    if version >= 18:
        return graph.add("ReduceMax", size, graph.integers(0), keepdims=1)
    return graph.add("ReduceMax", size, axes=[0], keepdims=1)
