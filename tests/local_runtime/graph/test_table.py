"""How many tokens a graph holds, as ours and exports have it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from embedway_local.checkpoint import read_checkpoint
from embedway_local.graph.cache import built
from embedway_local.graph.card import card_graph
from embedway_local.graph.table import table_rows


def write(path: Path, nodes: list[onnx.NodeProto], *, ids: str = "input_ids") -> Path:
    """A graph with a table of 7 rows, and one of 5 that no ids are looked up in."""
    tables = [
        numpy_helper.from_array(np.zeros(shape, kind), name)
        for name, shape, kind in (
            ("table", (7, 4), np.float32),
            ("places", (5, 4), np.float32),
            ("small", (7, 4), np.uint8),
            ("scale", (), np.float32),
            ("flat", (1,), np.int64),
        )
    ]
    inputs = [helper.make_tensor_value_info(ids, TensorProto.INT64, ["batch", "length"])]
    outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, tables)), path)
    return path


def test_graphs_of_ours_tell_the_rows_of_their_table(tiny: Callable, home: Path) -> None:
    checkpoint = read_checkpoint(tiny().folder)

    assert 30 == table_rows(built(checkpoint, home))
    for packed in (False, True):
        assert 30 == table_rows(card_graph(checkpoint, home, packed=packed, half=True))


@pytest.mark.parametrize(
    "nodes",
    [
        [("Gather", ["table", "input_ids"])],
        [("Gather", ["places", "other"]), ("Gather", ["table", "input_ids"])],
        [("Cast", ["input_ids"]), ("Reshape", ["out0", "flat"]), ("Gather", ["table", "out1"])],
        [("DequantizeLinear", ["small", "scale"]), ("Gather", ["out0", "input_ids"])],
        [("Identity", ["table"]), ("Gather", ["out0", "input_ids"])],
        [("GatherBlockQuantized", ["small", "input_ids", "scale"])],
    ],
    ids=str,
)
def test_exports_look_their_ids_up_in_many_ways(tmp_path: Path, nodes: list) -> None:
    made = [helper.make_node(kind, given, [f"out{row}"]) for row, (kind, given) in enumerate(nodes)]

    assert 7 == table_rows(write(tmp_path / "export.onnx", made))


@pytest.mark.parametrize(
    "given", [["table", "other"], ["made", "input_ids"], ["flat", "input_ids"]]
)
def test_a_table_that_is_not_found_is_not_guessed(tmp_path: Path, given: list[str]) -> None:
    node = helper.make_node("Gather", given, ["out"])

    assert table_rows(write(tmp_path / "export.onnx", [node])) is None
