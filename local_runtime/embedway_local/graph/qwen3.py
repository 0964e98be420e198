"""Builds the inference graph of a Qwen3 embedding model from its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedway_local.error import ModelCorrupt, ModelUnsupported
from embedway_local.graph.block import Blocks, Heads, activation
from embedway_local.graph.mask import causal
from embedway_local.graph.rotary import Rotary, read_rotary

if TYPE_CHECKING:
    from embedway_local.graph.parts import Graph
    from embedway_local.graph.weight import Weights
    from embedway_local.setting import Settings

__all__ = ["Qwen3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Qwen3:
    """
    The facts of a Qwen3's `config.json` that its graph depends on.

    Each token sees what is before it, so that padding on the right changes no token's vector.
    """

    hidden: int
    heads: Heads
    layers: int
    inner: int
    epsilon: float
    activation: str
    rotary: Rotary
    attention_bias: bool

    anchor = "embed_tokens.weight"

    @classmethod
    def read(cls, config: Settings) -> Qwen3:
        """Read `config.json`; raises `ModelUnsupported` for variants whose graph would differ."""
        if config.flag("use_sliding_window") or "sliding_attention" in config.names("layer_types"):
            raise ModelUnsupported(f"{config.source}: Qwen3 with a sliding window")
        # Since transformers 5 either makes each token see those behind it; older ones ignore them.
        both_ways = config.values.get("use_bidirectional_attention")
        if both_ways or config.values.get("is_causal") is False:
            raise ModelUnsupported(
                f"{config.source}: Qwen3 that is not causal; give a folder that has its ONNX "
                "export, onnx/model.onnx, and no weights"
            )
        count = config.number("num_attention_heads")
        pairs = config.number("num_key_value_heads", default=count)
        if count % pairs:
            raise ModelCorrupt(f"{config.source}: {pairs} keys do not divide {count} heads")
        size = config.number("head_dim", default=128)
        positions = config.number("max_position_embeddings", default=32_768)
        return cls(
            hidden=config.number("hidden_size"),
            heads=Heads(count=count, pairs=pairs, size=size),
            layers=config.number("num_hidden_layers"),
            inner=config.number("intermediate_size"),
            epsilon=config.real("rms_norm_eps", default=1e-6),
            activation=activation(config, "hidden_act", default="silu"),
            rotary=read_rotary(config, size=size, positions=positions, default=10_000),
            attention_bias=config.flag("attention_bias"),
        )

    def encode(
        self, graph: Graph, weights: Weights, ids: str, bias: str, types: str | None = None
    ) -> str:
        """As `Bert.encode`; it knows no token types."""
        assert types is None
        blocks = Blocks(graph, weights, graph.add("Shape", ids))
        rows = blocks.rows(blocks.words(self.anchor, ids, self.hidden), self.hidden)
        bias = causal(blocks, bias)
        tables = self.rotary.tables(blocks)
        for index in range(self.layers):
            name = f"layers.{index}"
            normal = self._norm(blocks, f"{name}.input_layernorm", rows)
            mixed = self._attention(blocks, f"{name}.self_attn", normal, bias, tables)
            rows = graph.add("Add", rows, mixed)
            normal = self._norm(blocks, f"{name}.post_attention_layernorm", rows)
            rows = graph.add("Add", rows, self._gated(blocks, f"{name}.mlp", normal))
        return blocks.shaped(self._norm(blocks, "norm", rows), self.hidden)

    def _attention(
        self, blocks: Blocks, name: str, rows: str, bias: str, tables: tuple[str, str]
    ) -> str:
        heads, biased = self.heads, self.attention_bias
        wide, narrow = heads.count * heads.size, heads.pairs * heads.size
        names = [f"{name}.{part}_proj" for part in "qkv"]
        parts = blocks.merged(names, [wide, narrow, narrow], rows, self.hidden, bias=biased)
        query = blocks.heads(parts[0], heads.count, heads.size)
        key = blocks.heads(parts[1], heads.pairs, heads.size)
        value = blocks.heads(parts[2], heads.pairs, heads.size)
        # Each head is normalised by itself, before it is turned.
        query = blocks.rms(f"{name}.q_norm", query, heads.size, self.epsilon)
        key = blocks.rms(f"{name}.k_norm", key, heads.size, self.epsilon)
        query, key = (self.rotary.turn(blocks, part, tables) for part in (query, key))
        mixed = blocks.attend(query, key, value, heads, bias)
        return blocks.linear(f"{name}.o_proj", mixed, wide, self.hidden, bias=biased)

    def _gated(self, blocks: Blocks, name: str, rows: str) -> str:
        names = [f"{name}.up_proj", f"{name}.gate_proj"]
        wide, gate = blocks.merged(names, [self.inner] * 2, rows, self.hidden, bias=False)
        both = blocks.graph.add("Mul", wide, blocks.activate(gate, self.activation))
        return blocks.linear(f"{name}.down_proj", both, self.inner, self.hidden, bias=False)

    def _norm(self, blocks: Blocks, name: str, rows: str) -> str:
        return blocks.rms(name, rows, self.hidden, self.epsilon)
