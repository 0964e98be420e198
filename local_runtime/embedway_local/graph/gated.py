"""Builds encoders with rotary positions and gated layers, normed after each part: Nomic and GTE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedway_local.graph.block import Blocks, Heads

if TYPE_CHECKING:
    from embedway_local.graph.parts import Graph
    from embedway_local.graph.rotary import Rotary
    from embedway_local.graph.weight import Weights

__all__ = ["Gated", "Names"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What a checkpoint calls its tensors; those of a layer follow the layer's own name."""

    layer: str
    embedding_norm: str
    attention: tuple[str, ...]
    """Query, key and value; one name where they are stored as one tensor."""
    out: str
    attention_norm: str
    wide: tuple[str, ...]
    """What is gated and the gate, in this order; one name where they are stored as one."""
    narrow: str
    final_norm: str


# What transformers calls both, since 5.
_NATIVE = Names(
    layer="layers",
    embedding_norm="embeddings.LayerNorm",
    attention=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    out="self_attn.o_proj",
    attention_norm="post_attention_layernorm",
    wide=("mlp.up_proj", "mlp.gate_proj"),
    narrow="mlp.down_proj",
    final_norm="post_mlp_layernorm",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gated:
    """One such encoder; `Nomic` and `Gte` read it from `config.json`."""

    published: Names
    """What its authors call the tensors; the settings do not tell which names were used."""
    hidden: int
    heads: Heads
    layers: int
    inner: int
    types: int
    """How many token types there are; it may have none."""
    epsilon: float
    activation: str
    rotary: Rotary
    attention_bias: bool
    wide_bias: bool
    narrow_bias: bool

    anchor = "embeddings.word_embeddings.weight"

    def encode(
        self, graph: Graph, weights: Weights, ids: str, bias: str, types: str | None = None
    ) -> str:
        """As `Bert.encode`."""
        blocks = Blocks(graph, weights, graph.add("Shape", ids))
        words = blocks.words(self.anchor, ids, self.hidden)
        if self.types:
            table = weights.take("embeddings.token_type_embeddings.weight", self.types, self.hidden)
            if types is None:
                kinds = graph.weight(table[0])
            else:
                kinds = graph.add("Gather", graph.weight(table), types)
            words = graph.add("Add", words, kinds)
        rows = blocks.rows(words, self.hidden)
        native = weights.has(f"{_NATIVE.layer}.0.{_NATIVE.out}.weight")
        names = _NATIVE if native else self.published
        rows = blocks.norm(names.embedding_norm, rows, self.hidden, self.epsilon)
        tables = self.rotary.tables(blocks)
        for index in range(self.layers):
            rows = self._layer(blocks, names, index, rows, bias=bias, tables=tables)
        return blocks.shaped(rows, self.hidden)

    def _layer(
        self,
        blocks: Blocks,
        names: Names,
        index: int,
        rows: str,
        *,
        bias: str,
        tables: tuple[str, str],
    ) -> str:
        hidden, add = self.hidden, blocks.graph.add
        name = f"{names.layer}.{index}."
        parts = blocks.merged(
            [name + part for part in names.attention],
            [hidden] * 3,
            rows,
            hidden,
            bias=self.attention_bias,
        )
        mixed = self._attention(blocks, parts, bias, tables)
        out = blocks.linear(name + names.out, mixed, hidden, hidden, bias=self.attention_bias)
        rows = blocks.norm(name + names.attention_norm, add("Add", out, rows), hidden, self.epsilon)
        wide, gate = blocks.merged(
            [name + part for part in names.wide],
            [self.inner] * 2,
            rows,
            hidden,
            bias=self.wide_bias,
        )
        both = add("Mul", wide, blocks.activate(gate, self.activation))
        out = blocks.linear(name + names.narrow, both, self.inner, hidden, bias=self.narrow_bias)
        return blocks.norm(name + names.final_norm, add("Add", out, rows), hidden, self.epsilon)

    def _attention(
        self, blocks: Blocks, parts: list[str], bias: str, tables: tuple[str, str]
    ) -> str:
        heads, turn = self.heads, self.rotary.turn
        query, key, value = (blocks.heads(part, heads.count, heads.size) for part in parts)
        query, key = (turn(blocks, part, tables) for part in (query, key))
        return blocks.attend(query, key, value, heads, bias)
