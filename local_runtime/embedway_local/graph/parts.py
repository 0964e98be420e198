"""Collects the nodes and weights of an ONNX graph, and the pieces that all encoders share."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["OUTPUT", "Attribute", "Graph", "embedding_output"]

# Gelu is a single operator since opset 20; ONNX Runtime reads IR 10 since 1.18.
_OPSET = 20
_IR_VERSION = 10

# A name that no export uses.
OUTPUT = "embedway_embedding"

Attribute: TypeAlias = int | float | str | list[int]


class Graph:
    """
    An ONNX graph under construction; methods that add a node return the name of its output.

    `rows` are tensors of (tokens, hidden), so that every projection is one matrix product,
    whatever the shape of the batch. `prefix` keeps the names apart from those of another graph
    that these nodes are added to.
    """

    def __init__(self, prefix: str = "embedway") -> None:
        self._prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._count = 0

    def add(self, operator: str, *inputs: str, **attributes: Attribute) -> str:
        """Add a node with one output."""
        return self.add_many(operator, 1, *inputs, **attributes)[0]

    def add_many(
        self, operator: str, outputs: int, *inputs: str, **attributes: Attribute
    ) -> list[str]:
        """Add a node with several outputs."""
        names = [self._name(operator) for _ in range(outputs)]
        node = helper.make_node(operator, list(inputs), names, name=names[0])
        node.attribute.extend(
            helper.make_attribute(key, value) for key, value in attributes.items()
        )
        self.nodes.append(node)
        return names

    def weight(self, array: NDArray[np.generic]) -> str:
        """Add a constant tensor."""
        name = self._name("weight")
        # `ascontiguousarray` would turn a scalar into a vector.
        whole = array if array.ndim == 0 else np.ascontiguousarray(array)
        self.weights.append(numpy_helper.from_array(whole, name))
        return name

    def integers(self, *values: int) -> str:
        """Add a constant vector of int64, the type of shapes and axes."""
        return self.weight(np.array(values, dtype=np.int64))

    def scalar(self, value: float) -> str:
        """Add a float32 constant."""
        return self.weight(np.array(value, dtype=np.float32))

    def linear(self, rows: str, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> str:
        """`rows @ weight + bias`; the weight is (in, out)."""
        return self.add("Gemm", rows, self.weight(weight), self.weight(bias))

    def model(
        self,
        inputs: list[onnx.ValueInfoProto],
        output: str,
        size: int,
        *,
        name: str = OUTPUT,
        rank: int = 2,
    ) -> onnx.ModelProto:
        """The finished model; its only output is `name`, float32 (batch, size) or of rank 3."""
        self.nodes.append(helper.make_node("Identity", [output], [name]))
        last = embedding_output(size)
        if rank == 3:
            sizes: list[str | int | None] = ["batch", "length", size]
            last = helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)
        graph = helper.make_graph(self.nodes, "embedway", inputs, [last], self.weights)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", _OPSET)], producer_name="embedway"
        )
        model.ir_version = _IR_VERSION
        return model

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{self._prefix}_{kind}_{self._count}"


def embedding_output(size: int) -> onnx.ValueInfoProto:
    """The one output that every graph of ours has."""
    return helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", size])
