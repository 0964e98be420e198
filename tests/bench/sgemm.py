"""How near the runtime comes to what its matrix products alone could reach on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

__all__ = ["flops", "peak"]

# all-MiniLM-L6-v2.
HIDDEN, INNER, LAYERS = 384, 1536, 6


def flops(lengths: Sequence[int]) -> float:
    """Floating-point operations of the products for texts of these lengths, padding left out."""
    row = 2 * (4 * HIDDEN * HIDDEN + 2 * HIDDEN * INNER)
    return LAYERS * sum(length * row + 4 * HIDDEN * length * length for length in lengths)


def peak(rows: int = 512) -> float:
    """Operations a second of one core in ONNX Runtime's own product, the best of several runs."""
    weight = numpy_helper.from_array(np.ones((HIDDEN, INNER), dtype=np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, HIDDEN])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, INNER])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feeds = {"x": np.ones((rows, HIDDEN), dtype=np.float32)}
    best = float("inf")
    for _ in range(100):
        begun = time.thread_time()
        for _ in range(5):
            session.run(None, feeds)
        best = min(best, (time.thread_time() - begun) / 5)
    return 2 * rows * HIDDEN * INNER / best
