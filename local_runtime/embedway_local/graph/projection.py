"""Finds the projections of an ONNX graph: products with a constant matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Projection", "opset", "projections"]


@dataclass(frozen=True, slots=True)
class Projection:
    """One node that multiplies by a constant matrix."""

    node: onnx.NodeProto
    weight: NDArray[np.float32]
    """(in, out)."""

    @property
    def rows(self) -> str:
        """The name of what is multiplied; its last axis is `in`."""
        name: str = self.node.input[0]
        return name

    @property
    def smooth(self) -> bool:
        """
        Is its input worth smoothing?

        With all-MiniLM-L6-v2 the two that widen gained (worst cosine 0.989 to 0.996), the two
        others nothing; and the pass over their inputs is the dearer one.
        """
        return len(self.weight[0]) > len(self.weight)


def projections(model: onnx.ModelProto) -> dict[str, Projection]:
    """Those with float32 weights, by the name of their output."""
    constants = {item.name: item for item in model.graph.initializer}
    return {
        node.output[0]: Projection(node, weight)
        for node in model.graph.node
        if (weight := _weight(node, constants)) is not None
    }


def opset(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators that the graph uses."""
    versions = [item.version for item in model.opset_import if item.domain in {"", "ai.onnx"}]
    return max(map(int, versions))


def _weight(
    node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]
) -> NDArray[np.float32] | None:
    if node.op_type not in {"Gemm", "MatMul"} or node.domain not in {"", "ai.onnx"}:
        return None
    tensor = constants.get(node.input[1])
    if tensor is None or tensor.data_type != TensorProto.FLOAT or len(tensor.dims) != 2:
        return None
    settings = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    if settings.get("transA", 0) or any(settings.get(key, 1) != 1 for key in ("alpha", "beta")):
        return None
    weight = numpy_helper.to_array(tensor).astype(np.float32, copy=False)
    return weight.T if settings.get("transB", 0) else weight
