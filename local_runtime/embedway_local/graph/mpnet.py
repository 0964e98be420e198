"""Builds the inference graph of an MPNet encoder from its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedway_local.error import ModelUnsupported
from embedway_local.graph.block import Blocks, Heads, activation
from embedway_local.graph.mask import apart

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedway_local.graph.parts import Graph
    from embedway_local.graph.weight import Weights
    from embedway_local.setting import Settings

__all__ = ["MPNet"]

# transformers has all three in the code, not in the settings.
_PAD = 1
_BUCKETS = 32
_FARTHEST = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class MPNet:
    """The facts of an MPNet's `config.json` that its graph depends on."""

    hidden: int
    heads: Heads
    layers: int
    inner: int
    positions: int
    epsilon: float
    activation: str

    anchor = "embeddings.word_embeddings.weight"

    @classmethod
    def read(cls, config: Settings) -> MPNet:
        """Read `config.json`; raises `ModelUnsupported` for variants whose graph would differ."""
        if config.number("relative_attention_num_buckets", default=_BUCKETS) != _BUCKETS:
            raise ModelUnsupported(f"{config.source}: MPNet has {_BUCKETS} buckets of distances")
        hidden = config.number("hidden_size")
        return cls(
            hidden=hidden,
            heads=Heads.of(config, hidden, config.number("num_attention_heads")),
            layers=config.number("num_hidden_layers"),
            inner=config.number("intermediate_size"),
            positions=config.number("max_position_embeddings"),
            epsilon=config.real("layer_norm_eps", default=1e-12),
            activation=activation(config, "hidden_act", default="gelu"),
        )

    def encode(
        self, graph: Graph, weights: Weights, ids: str, bias: str, types: str | None = None
    ) -> str:
        """As `Bert.encode`; it knows no token types."""
        assert types is None
        blocks = Blocks(graph, weights, graph.add("Shape", ids))
        words = blocks.words(self.anchor, ids, self.hidden)
        places = weights.take("embeddings.position_embeddings.weight", self.positions, self.hidden)
        placed = graph.add("Gather", graph.weight(places), blocks.counted(ids, _PAD))
        rows = blocks.rows(graph.add("Add", words, placed), self.hidden)
        rows = blocks.norm("embeddings.LayerNorm", rows, self.hidden, self.epsilon)
        bias = graph.add("Add", self._distances(blocks), bias)
        for index in range(self.layers):
            rows = self._layer(blocks, f"encoder.layer.{index}", rows, bias)
        return blocks.shaped(rows, self.hidden)

    def _layer(self, blocks: Blocks, name: str, rows: str, bias: str) -> str:
        hidden, heads, add = self.hidden, self.heads, blocks.graph.add
        names = [f"{name}.attention.attn.{part}" for part in "qkv"]
        query, key, value = (
            blocks.heads(part, heads.count, heads.size)
            for part in blocks.merged(names, [hidden] * 3, rows, hidden)
        )
        mixed = blocks.attend(query, key, value, heads, bias)
        out = blocks.linear(f"{name}.attention.attn.o", mixed, hidden, hidden)
        norm = f"{name}.attention.LayerNorm"
        rows = blocks.norm(norm, add("Add", out, rows), hidden, self.epsilon)
        wide = blocks.linear(f"{name}.intermediate.dense", rows, hidden, self.inner)
        wide = blocks.activate(wide, self.activation)
        out = blocks.linear(f"{name}.output.dense", wide, self.inner, hidden)
        return blocks.norm(f"{name}.output.LayerNorm", add("Add", out, rows), hidden, self.epsilon)

    def _distances(self, blocks: Blocks) -> str:
        """
        What each head adds for the distance between two tokens, (1, heads, length, length).

        The table has a row for each distance, -(positions - 1) to positions - 1, and the graph
        takes the rows that a batch's length needs.
        """
        graph, add = blocks.graph, blocks.graph.add
        learned = blocks.weights.take(
            "encoder.relative_attention_bias.weight", _BUCKETS, self.heads.count
        )
        table = learned[_buckets(np.arange(1 - self.positions, self.positions))]
        row = add("Add", apart(blocks), graph.integers(self.positions - 1))
        found = add("Gather", graph.weight(table), row)
        return add("Unsqueeze", add("Transpose", found, perm=[2, 0, 1]), graph.integers(0))


def _buckets(distance: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bucket of a key so far behind its query: near ones each, far ones by their logarithm."""
    half = _BUCKETS // 2
    near = half // 2
    size = np.abs(distance)
    # In single precision, as transformers does: a distance on a border must fall the same way.
    ratio = np.log(np.maximum(size, 1).astype(np.float32) / np.float32(near))
    span = np.float32(np.log(_FARTHEST / near))
    far = near + (ratio / span * np.float32(half - near)).astype(np.int64)
    bucket = np.where(size < near, size, np.minimum(far, half - 1))
    return bucket + np.where(distance > 0, half, 0)
