"""Adds the pieces that the architectures are put together from: projections, norms, attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from embedway_local.error import ModelCorrupt, ModelUnsupported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embedway_local.graph.parts import Graph
    from embedway_local.graph.weight import Weights
    from embedway_local.setting import Settings

__all__ = ["ACTIVATIONS", "Blocks", "Heads", "activation"]

_Array: TypeAlias = NDArray[np.float32]

# What config.json calls them, and ours; each is spelled out in `Blocks.activate`.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


def activation(config: Settings, key: str, *, default: str) -> str:
    """Ours for the activation that `config.json` names; raises `ModelUnsupported` for others."""
    name = config.text(key, default=default)
    if name not in ACTIVATIONS:
        raise ModelUnsupported(f"{config.source}: activation {name!r} is not supported")
    return ACTIVATIONS[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """How an attention divides its rows: `count` of queries, `pairs` of keys and values."""

    count: int
    pairs: int
    size: int

    @classmethod
    def of(cls, config: Settings, hidden: int, count: int) -> Heads:
        """As many keys as queries, which together are as wide as the hidden state."""
        if hidden % count:
            raise ModelCorrupt(f"{config.source}: {count} heads do not divide {hidden}")
        return cls(count=count, pairs=count, size=hidden // count)


@dataclass(frozen=True, slots=True)
class Blocks:
    """
    Adds pieces to one graph, with one checkpoint's weights.

    `shape` names the tensor that holds (batch, length). Rows are (batch · length, features).
    """

    graph: Graph
    weights: Weights
    shape: str

    def words(self, name: str, ids: str, hidden: int) -> str:
        """The tokens' embeddings, (batch, length, hidden)."""
        table = self.graph.weight(self.weights.take(name, None, hidden))
        return self.graph.add("Gather", table, ids)

    def rows(self, tensor: str, size: int) -> str:
        """(batch, length, size) as rows."""
        return self.graph.add("Reshape", tensor, self.graph.integers(-1, size))

    def shaped(self, rows: str, *sizes: int) -> str:
        """Rows as (batch, length, *sizes)."""
        shape = self.graph.add("Concat", self.shape, self.graph.integers(*sizes), axis=0)
        return self.graph.add("Reshape", rows, shape)

    def length(self) -> str:
        """The batch's padded length, a vector of one."""
        return self.graph.add("Slice", self.shape, self.graph.integers(1), self.graph.integers(2))

    def until_length(self, table: _Array, axis: int = 0) -> str:
        """The first entries of a table along an axis, as many as the batch is long."""
        zero = self.graph.integers(0)
        name = self.graph.weight(table)
        return self.graph.add("Slice", name, zero, self.length(), self.graph.integers(axis))

    def counted(self, ids: str, pad: int) -> str:
        """
        Positions as RoBERTa counts them, (batch, length): the first token has `pad` + 1.

        A padding token has `pad`, even one in the middle of a text, which is not counted.
        """
        # Imported here, so that an encoder's facts can be read without it: 0.2 s and 40 MB.
        from onnx import TensorProto

        add, graph = self.graph.add, self.graph
        same = add("Equal", ids, graph.weight(np.array(pad, dtype=np.int32)))
        real = add("Cast", add("Not", same), to=TensorProto.INT64)
        count = add("CumSum", real, graph.weight(np.array(1, dtype=np.int64)))
        return add("Add", add("Mul", count, real), graph.weight(np.array(pad, dtype=np.int64)))

    def linear(self, name: str, rows: str, size: int, out: int, *, bias: bool = True) -> str:
        """The projection of this name, `size` to `out`."""
        weight, vector = self.projection(name, size, out, bias=bias)
        return self.graph.linear(rows, weight, vector)

    def projection(
        self, name: str, size: int, out: int, *, bias: bool = True
    ) -> tuple[_Array, _Array]:
        """Its weight, (size, out), and its bias, which is zero where it has none."""
        weight = self.weights.take(f"{name}.weight", out, size).T
        if not bias:
            return weight, np.zeros(out, dtype=np.float32)
        return weight, self.weights.take(f"{name}.bias", out)

    def merged(
        self, names: Sequence[str], sizes: Sequence[int], rows: str, size: int, *, bias: bool = True
    ) -> list[str]:
        """Several projections of the same rows, computed as one; one name if stored as one."""
        if len(names) == 1:
            return self.split(self.linear(names[0], rows, size, sum(sizes), bias=bias), sizes)
        parts = [
            self.projection(name, size, out, bias=bias)
            for name, out in zip(names, sizes, strict=True)
        ]
        weight = np.concatenate([weight for weight, _ in parts], axis=1)
        both = self.graph.linear(rows, weight, np.concatenate([vector for _, vector in parts]))
        return self.split(both, sizes)

    def split(self, rows: str, sizes: Sequence[int]) -> list[str]:
        """Rows divided along their features."""
        return self.graph.add_many("Split", len(sizes), rows, self.graph.integers(*sizes), axis=-1)

    def norm(self, name: str, rows: str, size: int, epsilon: float, *, bias: bool = True) -> str:
        """Layer normalisation."""
        scale = self.weights.take(f"{name}.weight", size)
        shift = self.weights.take(f"{name}.bias", size) if bias else np.zeros_like(scale)
        graph = self.graph
        return graph.add(
            "LayerNormalization",
            rows,
            graph.weight(scale),
            graph.weight(shift),
            axis=-1,
            epsilon=epsilon,
        )

    def rms(self, name: str, tensor: str, size: int, epsilon: float) -> str:
        """Root-mean-square normalisation along the last axis; ONNX Runtime makes it one kernel."""
        add, graph = self.graph.add, self.graph
        squares = add("Pow", tensor, graph.scalar(2))
        mean = add("ReduceMean", squares, graph.integers(-1), keepdims=1)
        root = add("Sqrt", add("Add", mean, graph.scalar(epsilon)))
        unit = add("Div", tensor, root)
        return add("Mul", unit, graph.weight(self.weights.take(f"{name}.weight", size)))

    def activate(self, rows: str, kind: str) -> str:
        """One of the values of `ACTIVATIONS`."""
        add = self.graph.add
        match kind:
            case "gelu":
                return add("Gelu", rows)
            case "gelu_tanh":
                return add("Gelu", rows, approximate="tanh")
            case "relu":
                return add("Relu", rows)
            case _:
                return add("Mul", rows, add("Sigmoid", rows))

    def heads(self, rows: str, count: int, size: int) -> str:
        """Rows as (batch, heads, length, size)."""
        return self.graph.add("Transpose", self.shaped(rows, count, size), perm=[0, 2, 1, 3])

    def attend(self, query: str, key: str, value: str, heads: Heads, bias: str) -> str:
        """
        Attention, (batch, heads, length, size) to rows.

        `bias` is added to the scores; 1/√size is applied here. Where there are fewer keys than
        queries, neighbouring queries share one.
        """
        add, graph = self.graph.add, self.graph
        if heads.pairs != heads.count:
            key, value = self._repeat(key, heads), self._repeat(value, heads)
        query = add("Mul", query, graph.scalar(1 / np.sqrt(heads.size)))
        scores = add("MatMul", query, add("Transpose", key, perm=[0, 1, 3, 2]))
        chances = add("Softmax", add("Add", scores, bias), axis=-1)
        mixed = add("Transpose", add("MatMul", chances, value), perm=[0, 2, 1, 3])
        return self.rows(mixed, heads.count * heads.size)

    def _repeat(self, tensor: str, heads: Heads) -> str:
        """Each key or value as often as it has queries, side by side."""
        graph = self.graph
        places = np.repeat(np.arange(heads.pairs), heads.count // heads.pairs)
        return graph.add("Gather", tensor, graph.weight(places.astype(np.int64)), axis=1)
