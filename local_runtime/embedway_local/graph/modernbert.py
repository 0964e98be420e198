"""Builds the inference graph of a ModernBERT encoder from its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedway_local.error import ModelCorrupt, ModelUnsupported
from embedway_local.graph.block import Blocks, Heads, activation
from embedway_local.graph.mask import windowed
from embedway_local.graph.rotary import Rotary, read_rotary
from embedway_local.setting import Settings

if TYPE_CHECKING:
    from embedway_local.graph.parts import Graph
    from embedway_local.graph.weight import Weights

__all__ = ["ModernBert"]

_GLOBAL, _LOCAL = "full_attention", "sliding_attention"
# The kind of each is written down before the first one's tensors are asked for.
_MOST_LAYERS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ModernBert:
    """The facts of a ModernBERT's `config.json` that its graph depends on."""

    hidden: int
    heads: Heads
    inner: int
    epsilon: float
    activation: str
    kinds: tuple[str, ...]
    """Of each layer's attention: to the whole text, or to the neighbourhood."""
    reach: int
    """How far the neighbourhood goes, to either side."""
    rotary: dict[str, Rotary]
    norm_bias: bool
    attention_bias: bool
    inner_bias: bool

    anchor = "embeddings.tok_embeddings.weight"

    @classmethod
    def read(cls, config: Settings) -> ModernBert:
        """Read `config.json`; raises `ModelUnsupported` for variants whose graph would differ."""
        hidden = config.number("hidden_size")
        heads = Heads.of(config, hidden, config.number("num_attention_heads"))
        positions = config.number("max_position_embeddings")
        return cls(
            hidden=hidden,
            heads=heads,
            inner=config.number("intermediate_size"),
            epsilon=config.real("norm_eps", default=1e-5),
            activation=activation(config, "hidden_activation", default="gelu"),
            kinds=_kinds(config),
            # No text is longer; a number of JSON may be larger than any tensor holds.
            reach=min(config.number("local_attention", default=128) // 2, positions),
            rotary=_rotary(config, size=heads.size, positions=positions),
            norm_bias=config.flag("norm_bias"),
            attention_bias=config.flag("attention_bias"),
            inner_bias=config.flag("mlp_bias"),
        )

    def encode(
        self, graph: Graph, weights: Weights, ids: str, bias: str, types: str | None = None
    ) -> str:
        """As `Bert.encode`; it knows no token types."""
        assert types is None
        blocks = Blocks(graph, weights, graph.add("Shape", ids))
        rows = blocks.rows(blocks.words(self.anchor, ids, self.hidden), self.hidden)
        rows = self._norm(blocks, "embeddings.norm", rows)
        biases = {_GLOBAL: bias, _LOCAL: windowed(blocks, bias, self.reach)}
        tables = {kind: rotary.tables(blocks) for kind, rotary in self.rotary.items()}
        for index, kind in enumerate(self.kinds):
            name = f"layers.{index}"
            # The first layer's input has just been normalised.
            normal = self._norm(blocks, f"{name}.attn_norm", rows) if index else rows
            mixed = self._attention(blocks, name, normal, biases[kind], (kind, tables[kind]))
            rows = graph.add("Add", rows, mixed)
            normal = self._norm(blocks, f"{name}.mlp_norm", rows)
            rows = graph.add("Add", rows, self._gated(blocks, name, normal))
        return blocks.shaped(self._norm(blocks, "final_norm", rows), self.hidden)

    def _attention(
        self, blocks: Blocks, name: str, rows: str, bias: str, turn: tuple[str, tuple[str, str]]
    ) -> str:
        heads, hidden = self.heads, self.hidden
        kind, tables = turn
        query, key, value = (
            blocks.heads(part, heads.count, heads.size)
            for part in blocks.merged(
                [f"{name}.attn.Wqkv"], [hidden] * 3, rows, hidden, bias=self.attention_bias
            )
        )
        query, key = (self.rotary[kind].turn(blocks, part, tables) for part in (query, key))
        mixed = blocks.attend(query, key, value, heads, bias)
        return blocks.linear(f"{name}.attn.Wo", mixed, hidden, hidden, bias=self.attention_bias)

    def _gated(self, blocks: Blocks, name: str, rows: str) -> str:
        wide, gate = blocks.merged(
            [f"{name}.mlp.Wi"], [self.inner] * 2, rows, self.hidden, bias=self.inner_bias
        )
        both = blocks.graph.add("Mul", blocks.activate(wide, self.activation), gate)
        return blocks.linear(f"{name}.mlp.Wo", both, self.inner, self.hidden, bias=self.inner_bias)

    def _norm(self, blocks: Blocks, name: str, rows: str) -> str:
        return blocks.norm(name, rows, self.hidden, self.epsilon, bias=self.norm_bias)


def _kinds(config: Settings) -> tuple[str, ...]:
    layers = config.number("num_hidden_layers")
    if layers > _MOST_LAYERS:
        raise ModelUnsupported(f"{config.source}: {layers} layers are not supported")
    kinds = tuple(config.names("layer_types"))
    if not kinds:
        every = config.number("global_attn_every_n_layers", default=3)
        kinds = tuple(_LOCAL if index % every else _GLOBAL for index in range(layers))
    if len(kinds) != layers:
        raise ModelCorrupt(f"{config.source}: {len(kinds)} layer_types for {layers} layers")
    for kind in kinds:
        if kind not in {_GLOBAL, _LOCAL}:
            raise ModelUnsupported(f"{config.source}: layers of type {kind!r} are not supported")
    return kinds


def _rotary(config: Settings, *, size: int, positions: int) -> dict[str, Rotary]:
    """The angles of both kinds of layers, under the names of today or of before."""
    stated = config.values.get("rope_parameters")
    if stated is None:
        whole = config.real("global_rope_theta", default=160_000)
        # Null is what published settings say for "the same".
        same = config.values.get("local_rope_theta", 0) is None
        near = whole if same else config.real("local_rope_theta", default=10_000)
        stated = {_GLOBAL: {"rope_theta": whole}, _LOCAL: {"rope_theta": near}}
    if not isinstance(stated, dict):
        raise ModelCorrupt(f"{config.source}: 'rope_parameters' is not an object")
    scaling = config.values.get("rope_scaling")
    defaults = {_GLOBAL: 160_000.0, _LOCAL: 10_000.0}
    return {
        kind: read_rotary(
            Settings({"rope_parameters": stated.get(kind), "rope_scaling": scaling}, config.source),
            size=size,
            positions=positions,
            default=default,
        )
        for kind, default in defaults.items()
    }
