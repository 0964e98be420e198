"""Builds the inference graph of a DistilBERT encoder from its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedway_local.graph.block import Blocks, Heads, activation

if TYPE_CHECKING:
    from embedway_local.graph.parts import Graph
    from embedway_local.graph.weight import Weights
    from embedway_local.setting import Settings

__all__ = ["DistilBert"]

# transformers has it in the code, not in the settings.
_EPSILON = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class DistilBert:
    """The facts of a DistilBERT's `config.json` that its graph depends on."""

    hidden: int
    heads: Heads
    layers: int
    inner: int
    positions: int
    activation: str

    anchor = "embeddings.word_embeddings.weight"

    @classmethod
    def read(cls, config: Settings) -> DistilBert:
        """Read `config.json`; raises `ModelUnsupported` for variants whose graph would differ."""
        hidden = config.number("dim", default=768)
        return cls(
            hidden=hidden,
            heads=Heads.of(config, hidden, config.number("n_heads", default=12)),
            layers=config.number("n_layers", default=6),
            inner=config.number("hidden_dim", default=3072),
            positions=config.number("max_position_embeddings", default=512),
            activation=activation(config, "activation", default="gelu"),
        )

    def encode(
        self, graph: Graph, weights: Weights, ids: str, bias: str, types: str | None = None
    ) -> str:
        """As `Bert.encode`; it knows no token types."""
        assert types is None
        blocks = Blocks(graph, weights, graph.add("Shape", ids))
        words = blocks.words(self.anchor, ids, self.hidden)
        places = weights.take("embeddings.position_embeddings.weight", self.positions, self.hidden)
        rows = blocks.rows(graph.add("Add", words, blocks.until_length(places)), self.hidden)
        rows = self._norm(blocks, "embeddings.LayerNorm", rows)
        for index in range(self.layers):
            rows = self._layer(blocks, f"transformer.layer.{index}", rows, bias)
        return blocks.shaped(rows, self.hidden)

    def _layer(self, blocks: Blocks, name: str, rows: str, bias: str) -> str:
        hidden, heads, add = self.hidden, self.heads, blocks.graph.add
        names = [f"{name}.attention.{part}_lin" for part in "qkv"]
        query, key, value = (
            blocks.heads(part, heads.count, heads.size)
            for part in blocks.merged(names, [hidden] * 3, rows, hidden)
        )
        mixed = blocks.attend(query, key, value, heads, bias)
        out = blocks.linear(f"{name}.attention.out_lin", mixed, hidden, hidden)
        rows = self._norm(blocks, f"{name}.sa_layer_norm", add("Add", out, rows))
        wide = blocks.linear(f"{name}.ffn.lin1", rows, hidden, self.inner)
        wide = blocks.activate(wide, self.activation)
        out = blocks.linear(f"{name}.ffn.lin2", wide, self.inner, hidden)
        return self._norm(blocks, f"{name}.output_layer_norm", add("Add", out, rows))

    def _norm(self, blocks: Blocks, name: str, rows: str) -> str:
        return blocks.norm(name, rows, self.hidden, _EPSILON)
