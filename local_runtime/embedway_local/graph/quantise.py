"""Turns a graph's projections into products of 8-bit integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import helper

from embedway_local.error import ModelUnsupported
from embedway_local.graph.parts import Graph
from embedway_local.graph.projection import Projection, opset, projections

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["quantise"]

_CONTRIB = "com.microsoft"
# GELU falls to -0.16997 and not below, in both of its forms.
_GELU_LOWEST = 0.17


def quantise(
    model: onnx.ModelProto, largest: Mapping[str, NDArray[np.float32]], *, signed: bool
) -> onnx.ModelProto:
    """
    The model with each projection as `scale of the row * scale of the column * integers`.

    Weights have a scale for each output channel, fixed here. Inputs have one for each row, which
    is one token, taken when the graph runs: with one for the whole tensor, as ONNX's dynamic
    quantisation has it, a text's vector would depend on the texts beside it. `largest` holds, by
    projection, the largest magnitude of each input channel; part of what is large there moves into
    the weights (SmoothQuant, arXiv:2211.10438).

    `signed` weights are fast where the processor has VNNI and saturate on x86 without it;
    unsigned ones are the same numbers, exact everywhere. Raises `ModelUnsupported` when there is
    nothing to quantise.
    """
    found = projections(model)
    if not found:
        raise ModelUnsupported(
            "the graph has no projection with float32 weights, so int8 is not possible; "
            'use precision="fp32"'
        )
    graph = Graph("int8")
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    build = _Builder(graph, opset(model), makers, signed=signed)
    for node in model.graph.node:
        item = found.get(node.output[0])
        if item is None:
            graph.nodes.append(node)
        else:
            build.project(item, largest.get(node.output[0]))
    return _with(model, graph)


@dataclass(frozen=True, slots=True)
class _Builder:
    """Adds the nodes of projections; `makers` are the operators by the names of what they make."""

    graph: Graph
    opset: int
    makers: Mapping[str, str]
    signed: bool

    def project(self, item: Projection, largest: NDArray[np.float32] | None) -> None:
        """Add what stands for one projection, under the same name of output."""
        add, graph = self.graph.add, self.graph
        size, out = item.weight.shape
        # A product of matrices may have any number of axes in front.
        flat = item.node.op_type == "Gemm"
        rows = item.rows if flat else add("Reshape", item.rows, graph.integers(-1, size))
        weight = item.weight
        if largest is not None:
            factor = _smoothing(weight, largest)
            rows, weight = add("Mul", rows, graph.weight(1 / factor)), weight * factor[:, None]
        scale = self._scale(rows, gelu=self.makers.get(item.rows) == "Gelu")
        product = add("Mul", self._product(rows, scale, weight), scale)
        if len(item.node.input) > 2 and item.node.input[2]:
            product = add("Add", product, item.node.input[2])
        if not flat:
            front = add("Slice", add("Shape", item.rows), graph.integers(0), graph.integers(-1))
            shape = add("Concat", front, graph.integers(out), axis=0)
            product = add("Reshape", product, shape)
        graph.nodes.append(helper.make_node("Identity", [product], [item.node.output[0]]))

    def _scale(self, rows: str, *, gelu: bool) -> str:
        """Of each row, so that its largest number becomes 127: (rows, 1)."""
        add, scalar = self.graph.add, self.graph.scalar
        if gelu:
            # Spares a pass over the widest tensor of a layer.
            largest = add("Max", self._largest(rows), scalar(_GELU_LOWEST))
        else:
            # A row of zeros, of padding, stays one.
            largest = add("Max", self._largest(add("Abs", rows)), scalar(1e-30))
        return add("Mul", largest, scalar(1 / 127))

    def _largest(self, rows: str) -> str:
        add = self.graph.add
        if self.opset >= 18:
            return add("ReduceMax", rows, self.graph.integers(1), keepdims=1)
        return add("ReduceMax", rows, axes=[1], keepdims=1)

    def _product(self, rows: str, scale: str, weight: NDArray[np.float32]) -> str:
        """The integers' product times the scale of its column."""
        graph = self.graph
        flat = graph.add("Reshape", scale, graph.integers(-1))
        # Unsigned around 128: the kernels want an unsigned left side.
        middle = np.array(128, dtype=np.uint8)
        zeros = graph.add("Expand", graph.weight(middle), graph.add("Shape", flat))
        left = graph.add("QuantizeLinear", rows, flat, zeros, axis=0)
        columns = np.abs(weight).max(axis=0) / 127
        columns = np.where(columns > 0, columns, 1).astype(np.float32)
        right = np.rint(weight / columns).astype(np.int8)
        zero = np.zeros(len(columns), dtype=np.int8)
        inputs = [
            left,
            graph.weight(right if self.signed else _unsigned(right)),
            graph.scalar(1),
            graph.weight(columns),
            graph.weight(middle),
            graph.weight(zero if self.signed else _unsigned(zero)),
        ]
        # A constant of the node's own name, so that it needs no second counter.
        name = f"{left}_product"
        graph.nodes.append(
            helper.make_node("MatMulIntegerToFloat", inputs, [name], name=name, domain=_CONTRIB)
        )
        return name


def _smoothing(weight: NDArray[np.float32], largest: NDArray[np.float32]) -> NDArray[np.float32]:
    """
    What each input channel is divided by, and each row of the weight multiplied with: the square
    root of their largest magnitudes' ratio, around 1.
    """
    inputs = np.maximum(largest, 1e-3)
    weights = np.maximum(np.abs(weight).max(axis=1), 1e-5)
    factor = np.sqrt(inputs / weights)
    around: NDArray[np.float32] = (factor / np.exp(np.log(factor).mean())).astype(np.float32)
    return around


def _unsigned(values: NDArray[np.int8]) -> NDArray[np.uint8]:
    return (values.astype(np.int16) + 128).astype(np.uint8)


def _with(model: onnx.ModelProto, graph: Graph) -> onnx.ModelProto:
    """The model with these nodes, the weights that they use, and their operators' versions."""
    made = onnx.ModelProto()
    made.ir_version, made.producer_name = max(model.ir_version, 8), "embedway"
    made.opset_import.extend(item for item in model.opset_import if item.domain != _CONTRIB)
    made.opset_import.append(helper.make_opsetid(_CONTRIB, 1))
    made.functions.extend(model.functions)
    used = {name for node in graph.nodes for name in node.input}
    made.graph.name = model.graph.name
    made.graph.node.extend(graph.nodes)
    made.graph.input.extend(model.graph.input)
    made.graph.output.extend(model.graph.output)
    made.graph.initializer.extend(
        # Those inside of a condition or a loop are named in a graph of its own.
        item
        for item in model.graph.initializer
        if item.name in used or any(_inner(node) for node in graph.nodes)
    )
    made.graph.initializer.extend(graph.weights)
    return made


def _inner(node: onnx.NodeProto) -> bool:
    return any(item.HasField("g") or item.graphs for item in node.attribute)
