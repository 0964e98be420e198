"""Projections become products of integers, in our graphs and in exports of others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from embedway_local import ModelUnsupported
from embedway_local.checkpoint import read_checkpoint
from embedway_local.graph.build import build
from embedway_local.graph.calibrate import calibration, channels
from embedway_local.graph.projection import projections
from embedway_local.graph.quantise import quantise

RANDOM = np.random.default_rng(3)
WEIGHT = RANDOM.normal(size=(16, 40)).astype(np.float32)
BIAS = RANDOM.normal(size=40).astype(np.float32)


def graph_of(nodes: list[onnx.NodeProto], shape: list[object], opset: int) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "export",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(WEIGHT, "w"), numpy_helper.from_array(BIAS, "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def run(model: onnx.ModelProto, **feeds: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, feeds)
    return np.asarray(found)


def product() -> list[onnx.NodeProto]:
    return [
        helper.make_node("MatMul", ["x", "w"], ["product"]),
        helper.make_node("Add", ["product", "b"], ["y"]),
    ]


@pytest.mark.parametrize("opset", [13, 17, 20])
def test_a_product_of_any_number_of_axes_is_quantised(opset: int) -> None:
    model = graph_of(product(), ["a", "b", 16], opset)
    x = RANDOM.normal(size=(2, 3, 16)).astype(np.float32)

    found = run(quantise(model, {}, signed=True), x=x)

    assert found.shape == (2, 3, 40)
    assert np.abs(found - (x @ WEIGHT + BIAS)).max() < 0.25
    assert np.abs(found - (x @ WEIGHT + BIAS)).max() > 0


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_gemm_is_quantised_however_its_weight_lies(transposed: int) -> None:
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=transposed)
    model = graph_of([node], ["a", 16], 20)
    if transposed:
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(WEIGHT.T.copy(), "w"))
    x = RANDOM.normal(size=(5, 16)).astype(np.float32)

    assert np.abs(run(quantise(model, {}, signed=True), x=x) - (x @ WEIGHT + BIAS)).max() < 0.25


def test_signed_and_unsigned_weights_are_the_same_numbers() -> None:
    model = graph_of(product(), ["a", 16], 20)
    # As large as they get: where two products are added in 16 bits, they would saturate.
    x = np.full((3, 16), 5, dtype=np.float32)
    signed, unsigned = (run(quantise(model, {}, signed=kind), x=x) for kind in (True, False))

    assert np.allclose(signed, unsigned, atol=1e-5)


def test_a_row_does_not_depend_on_the_others() -> None:
    made = quantise(graph_of(product(), ["a", 16], 20), {}, signed=True)
    x = RANDOM.normal(size=(4, 16)).astype(np.float32)
    x[1] *= 1e4
    x[2] = 0

    together = run(made, x=x)

    assert np.array_equal(together, np.concatenate([run(made, x=row[None]) for row in x]))
    assert np.allclose(together[2], BIAS)


def test_what_is_not_a_number_stays_none() -> None:
    made = quantise(graph_of(product(), ["a", 16], 20), {}, signed=True)
    x = np.full((1, 16), np.nan, dtype=np.float32)

    assert np.isnan(run(made, x=x)).all()


def test_smoothing_takes_the_loss_of_a_loud_channel() -> None:
    model = graph_of(product(), ["a", 16], 20)
    x = RANDOM.normal(size=(50, 16)).astype(np.float32)
    x[:, 3] *= 60
    largest = channels(model, np.abs(x).max(axis=0))

    def loss(largest: dict[str, np.ndarray]) -> float:
        found = run(quantise(model, largest, signed=True), x=x)
        return float(np.abs(found - (x @ WEIGHT + BIAS)).mean())

    assert loss(largest) < loss({}) / 2


def test_calibration_tells_the_largest_magnitudes(tiny: Callable) -> None:
    model = build(read_checkpoint(tiny().folder))
    made = calibration(model)
    assert made is not None
    found = run(made, ids=np.array([[1, 5, 2]], np.int32), lengths=np.array([3], np.int32))

    parts = channels(model, found[0])

    assert len(parts) == 4  # two layers, each with two projections that widen
    assert all(part.shape == (24,) and (part > 0).all() for part in parts.values())
    assert len(projections(model)) == 8


def test_a_graph_without_projections_is_refused() -> None:
    model = graph_of([helper.make_node("Add", ["x", "x"], ["y"])], ["a", 40], 20)

    with pytest.raises(ModelUnsupported, match='use precision="fp32"'):
        quantise(model, {}, signed=True)
