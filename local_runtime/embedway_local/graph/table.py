"""Finds out how many tokens a graph's embedding table holds."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

import onnx

from embedway_local.error import LocalError

if TYPE_CHECKING:
    from pathlib import Path

    from embedway_local.gpu.compute import Compute

__all__ = ["measured_rows", "table_rows"]

# Exports name the ids `input_ids`; ours `ids`.
_IDS = {"ids", "input_ids"}
_GATHERS = {"Gather", "GatherBlockQuantized"}
# What exporters put between the table, or the ids, and the node that joins them.
_TABLE = {"Cast", "DequantizeLinear", "Identity"}
_TOKENS = {"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"}


def table_rows(path: Path) -> int | None:
    """
    How many rows the table has that the graph at `path` looks its token ids up in.

    None where no such table is found: a graph from elsewhere may hide it in a branch or a function.
    """
    graph = onnx.load(path, load_external_data=False).graph
    sizes = {item.name: tuple(item.dims) for item in graph.initializer}
    ids = {item.name for item in graph.input} & _IDS
    found = []
    # ONNX sorts nodes: what one reads was made before.
    for node in graph.node:
        if node.op_type == "Constant":
            for item in node.attribute:
                if item.name == "value":
                    sizes[node.output[0]] = tuple(item.t.dims)
        elif node.op_type in _TOKENS and node.input[0] in ids:
            ids.add(node.output[0])
        elif node.op_type in _TABLE and node.input[0] in sizes:
            sizes[node.output[0]] = sizes[node.input[0]]
        elif node.op_type in _GATHERS and node.input[1] in ids:
            size = sizes.get(node.input[0], ())
            axis = next((item.i for item in node.attribute if item.name == "axis"), 0)
            # `gather_axis` of the other kind is 0 as well wherever it holds embeddings.
            if len(size) > 1 and axis == 0:
                found.append(size[0])
    return min(found, default=None)


# No vocabulary has a thousandth of them.
_MOST = 2**31 - 1


def measured_rows(trusted: Compute) -> int | None:
    """
    The same for a graph that does not show it: how many tokens `trusted` takes.

    `trusted` runs the graph on the processor, where ONNX Runtime refuses a token that is no row.
    It is asked some forty times for the vector of one token. None where it takes any.
    """

    def refuses(token: int) -> bool:
        try:
            trusted.run([[token]])
        except LocalError:
            return True
        return False

    end = 1
    while not refuses(min(end, _MOST)):
        if end > _MOST:
            return None
        end *= 2
    return bisect_left(range(min(end, _MOST)), True, key=refuses)
