"""Builds the inference graph of a BERT encoder from its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from embedway_local.error import ModelCorrupt, ModelUnsupported
from embedway_local.graph.block import Blocks

if TYPE_CHECKING:
    from embedway_local.graph.parts import Graph
    from embedway_local.graph.weight import Weights
    from embedway_local.setting import Settings

__all__ = ["Bert"]

_Array: TypeAlias = NDArray[np.float32]

# What `hidden_act` calls the two forms, and what ONNX's Gelu does.
_GELU = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bert:
    """The facts of a BERT's `config.json` that its graph depends on."""

    hidden: int
    heads: int
    layers: int
    inner: int
    positions: int
    epsilon: float
    gelu: str
    pad: int | None = None
    """The padding token, where positions are counted behind it (RoBERTa)."""

    anchor = "embeddings.word_embeddings.weight"

    @classmethod
    def read(cls, config: Settings) -> Bert:
        """Read `config.json`; raises `ModelUnsupported` for variants whose graph would differ."""
        position = config.text("position_embedding_type", default="absolute")
        if position != "absolute":
            raise ModelUnsupported(f"BERT with {position!r} position embeddings is not supported")
        if config.flag("is_decoder") or config.flag("add_cross_attention"):
            raise ModelUnsupported("BERT as a decoder is not an embedding model")
        activation = config.text("hidden_act", default="gelu")
        if activation not in _GELU:
            raise ModelUnsupported(f"BERT with activation {activation!r} is not supported")
        hidden, heads = config.number("hidden_size"), config.number("num_attention_heads")
        if hidden % heads:
            raise ModelCorrupt(f"{config.source}: {heads} heads do not divide {hidden}")
        return cls(
            hidden=hidden,
            heads=heads,
            layers=config.number("num_hidden_layers"),
            inner=config.number("intermediate_size"),
            positions=config.number("max_position_embeddings"),
            epsilon=config.real("layer_norm_eps", default=1e-12),
            gelu=_GELU[activation],
        )

    @property
    def usual(self) -> bool:
        """Is what the shapes of the weights do not tell as in nearly all that are published?"""
        heads = self.hidden // 64 if self.hidden % 12 else 12
        # RoBERTa's table of positions has two rows more, up to the padding token's.
        epsilon, pad = (1e-5, 1) if self.positions % 512 == 2 else (1e-12, None)
        return (self.heads, self.epsilon, self.gelu, self.pad) == (heads, epsilon, "none", pad)

    def encode(
        self, graph: Graph, weights: Weights, ids: str, bias: str, types: str | None = None
    ) -> str:
        """
        Add the encoder; returns the name of its last hidden state, (batch, length, hidden).

        `ids` are the tokens, (batch, length); `bias` is added to the attention scores: 0 where
        there is a token, a large negative number where there is padding. `types` are the tokens'
        types; None where all are 0.
        """
        build = _Builder(self, graph, weights, graph.add("Shape", ids))
        rows = build.embed(ids, types)
        for index in range(self.layers):
            rows = build.layer(f"encoder.layer.{index}", rows, bias)
        return build.shaped(rows, self.hidden)


@dataclass(frozen=True, slots=True)
class _Builder:
    """Adds the pieces of one BERT; `shape` names the tensor that holds (batch, length)."""

    config: Bert
    graph: Graph
    weights: Weights
    shape: str

    def embed(self, ids: str, types: str | None) -> str:
        """Token, position and type embeddings, as rows."""
        graph, take, hidden = self.graph, self.weights.take, self.config.hidden
        words = graph.add("Gather", graph.weight(take(self.config.anchor, None, hidden)), ids)
        places = take("embeddings.position_embeddings.weight", self.config.positions, hidden)
        kinds = take("embeddings.token_type_embeddings.weight", None, hidden)
        if types is None:
            # An embedding model's tokens are all of type 0, so that row joins the positions here.
            places = places + kinds[0]
        else:
            words = graph.add("Add", words, graph.add("Gather", graph.weight(kinds), types))
        both = graph.add("Add", words, self._places(places, ids))
        rows = graph.add("Reshape", both, graph.integers(-1, hidden))
        return self._norm("embeddings.LayerNorm", rows)

    def _places(self, table: _Array, ids: str) -> str:
        graph = self.graph
        if self.config.pad is not None:
            places = Blocks(graph, self.weights, self.shape).counted(ids, self.config.pad)
            return graph.add("Gather", graph.weight(table), places)
        length = graph.add("Slice", self.shape, graph.integers(1), graph.integers(2))
        return graph.add("Slice", graph.weight(table), graph.integers(0), length)

    def layer(self, name: str, rows: str, bias: str) -> str:
        """One transformer layer, rows to rows."""
        add, hidden, inner = self.graph.add, self.config.hidden, self.config.inner
        mixed = self._attention(f"{name}.attention.self", rows, bias)
        out = self._linear(f"{name}.attention.output.dense", mixed, hidden, hidden)
        rows = self._norm(f"{name}.attention.output.LayerNorm", add("Add", out, rows))
        wide = self._linear(f"{name}.intermediate.dense", rows, hidden, inner)
        wide = add("Gelu", wide, approximate=self.config.gelu)
        out = self._linear(f"{name}.output.dense", wide, inner, hidden)
        return self._norm(f"{name}.output.LayerNorm", add("Add", out, rows))

    def shaped(self, rows: str, *sizes: int) -> str:
        """Rows as (batch, length, *sizes)."""
        shape = self.graph.add("Concat", self.shape, self.graph.integers(*sizes), axis=0)
        return self.graph.add("Reshape", rows, shape)

    def _attention(self, name: str, rows: str, bias: str) -> str:
        graph, heads = self.graph, self.config.heads
        size = self.config.hidden // heads
        merged = graph.linear(rows, *self._merged(name, size))
        split = graph.add_many(
            "Split", 3, self.shaped(merged, 3 * heads, size), axis=2, num_outputs=3
        )
        query = graph.add("Transpose", split[0], perm=[0, 2, 1, 3])
        key = graph.add("Transpose", split[1], perm=[0, 2, 3, 1])
        value = graph.add("Transpose", split[2], perm=[0, 2, 1, 3])
        scores = graph.add("Add", graph.add("MatMul", query, key), bias)
        mixed = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), value)
        mixed = graph.add("Transpose", mixed, perm=[0, 2, 1, 3])
        return graph.add("Reshape", mixed, graph.integers(-1, self.config.hidden))

    def _merged(self, name: str, size: int) -> tuple[_Array, _Array]:
        """One projection for query, key and value, with 1/√size folded into the query's."""
        take, hidden = self.weights.take, self.config.hidden
        parts = [f"{name}.{part}" for part in ("query", "key", "value")]
        weight = np.concatenate([take(f"{part}.weight", hidden, hidden) for part in parts]).T
        bias = np.concatenate([take(f"{part}.bias", hidden) for part in parts])
        scale = np.ones_like(bias)
        scale[:hidden] = 1 / np.sqrt(size)
        return weight * scale, bias * scale

    def _linear(self, name: str, rows: str, size: int, out: int) -> str:
        take = self.weights.take
        return self.graph.linear(
            rows, take(f"{name}.weight", out, size).T, take(f"{name}.bias", out)
        )

    def _norm(self, name: str, rows: str) -> str:
        add, weight, hidden = self.graph.add, self.graph.weight, self.config.hidden
        scale = weight(self.weights.take(f"{name}.weight", hidden))
        bias = weight(self.weights.take(f"{name}.bias", hidden))
        epsilon = self.config.epsilon
        return add("LayerNormalization", rows, scale, bias, axis=-1, epsilon=epsilon)
