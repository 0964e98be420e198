"""Builds a BERT for a card: fused kernels, in single or half precision, with padding or without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from embedway_local.error import ModelUnsupported
from embedway_local.graph.bert import Bert
from embedway_local.graph.parts import Attribute, Graph
from embedway_local.graph.pool import normalize, pool
from embedway_local.graph.weight import Weights, read_weights

if TYPE_CHECKING:
    from embedway_local.checkpoint import Checkpoint

__all__ = ["fused"]

_Array: TypeAlias = NDArray[np.generic]

_DOMAIN = "com.microsoft"
# Half precision reaches no further.
_HIGHEST = float(np.finfo(np.float16).max)


def fused(checkpoint: Checkpoint, *, packed: bool, half: bool) -> onnx.ModelProto:
    """
    The same encoder as `build` makes of the weights, from ONNX Runtime's fused operators.

    Nothing in it asks for the shape of its input, so that all of it runs on the card and may be
    captured. Inputs, all int32 unless said: `ids` and `positions`, (batch, length) or, `packed`,
    the tokens of all texts one after the other; `lengths` (batch,), or `offsets` (batch, length)
    and `cumulative` (batch + 1,); `inside` float32 (batch, length), one where there is a token.
    Every text has at least one token. The output is float32 whatever `half` is.

    Raises `ModelUnsupported` for other checkpoints than BERTs with safetensors, and for weights
    that half precision cannot hold.
    """
    kind = checkpoint.config.text("model_type", default="")
    if kind != "bert" or checkpoint.onnx is not None:
        raise ModelUnsupported(
            f"{checkpoint.folder}: there is a fused graph only for BERT with safetensors"
        )
    config = Bert.read(checkpoint.config)
    graph = Graph()
    weights = read_weights(list(checkpoint.weights), config.anchor)
    build = _Builder(config, graph, weights, packed=packed, half=half)
    rows = build.embed()
    for index in range(config.layers):
        rows = build.layer(f"encoder.layer.{index}", rows)
    if packed:
        rows = build.contrib("RestorePadding", rows, "offsets")
    # Pooled and scaled in single precision: the sums of half precision would lose digits.
    tokens = graph.add("Cast", rows, to=TensorProto.FLOAT) if half else rows
    vectors = normalize(graph, pool(graph, tokens, "inside", checkpoint.pooling))
    model = graph.model(_inputs(packed=packed), vectors, config.hidden)
    model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
    return model


def _inputs(*, packed: bool) -> list[onnx.ValueInfoProto]:
    tokens = ["tokens"] if packed else ["batch", "length"]
    whole: list[tuple[str, list[str]]] = [("ids", tokens), ("positions", tokens)]
    if packed:
        whole += [("offsets", ["batch", "length"]), ("cumulative", ["batch_plus_one"])]
    else:
        whole += [("lengths", ["batch"])]
    made = [helper.make_tensor_value_info(name, TensorProto.INT32, shape) for name, shape in whole]
    inside = helper.make_tensor_value_info("inside", TensorProto.FLOAT, ["batch", "length"])
    return [*made, inside]


@dataclass(frozen=True, slots=True)
class _Builder:
    """Adds the pieces of one BERT."""

    config: Bert
    graph: Graph
    weights: Weights
    packed: bool
    half: bool

    def contrib(self, operator: str, *inputs: str, **attributes: Attribute) -> str:
        """Add a node of ONNX Runtime's own."""
        name = self.graph.add(operator, *inputs, **attributes)
        self.graph.nodes[-1].domain = _DOMAIN
        return name

    def embed(self) -> str:
        """Token, position and type embeddings, normalised."""
        add, take, hidden = self.graph.add, self.weights.take, self.config.hidden
        words = add("Gather", self._held(take(self.config.anchor, None, hidden)), "ids")
        places = (
            take("embeddings.position_embeddings.weight", self.config.positions, hidden)
            + take("embeddings.token_type_embeddings.weight", None, hidden)[0]
        )
        position = add("Gather", self._held(places), "positions")
        return self._norm("embeddings.LayerNorm", words, position, "")

    def layer(self, name: str, rows: str) -> str:
        """One transformer layer."""
        hidden, inner = self.config.hidden, self.config.inner
        mixed = self._attention(f"{name}.attention.self", rows)
        part = f"{name}.attention.output"
        mixed = self._product(f"{part}.dense", mixed, hidden, hidden)
        rows = self._norm(f"{part}.LayerNorm", mixed, rows, self._bias(f"{part}.dense", hidden))
        wide = self._product(f"{name}.intermediate.dense", rows, hidden, inner)
        gelu = "BiasGelu" if self.config.gelu == "none" else "FastGelu"
        wide = self.contrib(gelu, wide, self._bias(f"{name}.intermediate.dense", inner))
        out = self._product(f"{name}.output.dense", wide, inner, hidden)
        bias = self._bias(f"{name}.output.dense", hidden)
        return self._norm(f"{name}.output.LayerNorm", out, rows, bias)

    def _attention(self, name: str, rows: str) -> str:
        heads, hidden, take = self.config.heads, self.config.hidden, self.weights.take
        parts = [f"{name}.{part}" for part in ("query", "key", "value")]
        weight = np.concatenate([take(f"{part}.weight", hidden, hidden) for part in parts]).T
        bias = np.concatenate([take(f"{part}.bias", hidden) for part in parts])
        if not self.packed:
            held = self._held(weight), self._held(bias)
            return self.contrib("Attention", rows, *held, "lengths", num_heads=heads)
        # Head by head its query, key and value: the kernel then reads them without a transpose.
        size = hidden // heads
        weight = weight.reshape(hidden, 3, heads, size).swapaxes(1, 2).reshape(hidden, 3 * hidden)
        bias = bias.reshape(3, heads, size).swapaxes(0, 1).reshape(3 * hidden)
        merged = self.graph.add("Gemm", rows, self._held(weight), self._held(bias))
        merged = self.graph.add("Reshape", merged, self.graph.integers(-1, heads, 3, size))
        return self.contrib(
            "PackedMultiHeadAttention", merged, "", "", "", "offsets", "cumulative", num_heads=heads
        )

    def _product(self, name: str, rows: str, size: int, out: int) -> str:
        weight = self.weights.take(f"{name}.weight", out, size).T
        return self.graph.add("MatMul", rows, self._held(weight))

    def _bias(self, name: str, size: int) -> str:
        return self._held(self.weights.take(f"{name}.bias", size))

    def _norm(self, name: str, rows: str, skip: str, bias: str) -> str:
        """The normalised sum of `rows`, `skip` and `bias`, which may be absent."""
        held = [
            self._held(self.weights.take(f"{name}.{part}", self.config.hidden))
            for part in ("weight", "bias")
        ]
        inputs = [rows, skip, *held, *([bias] if bias else [])]
        return self.contrib("SkipLayerNormalization", *inputs, epsilon=self.config.epsilon)

    def _held(self, array: _Array) -> str:
        """The array as a constant of the graph's precision."""
        if not self.half:
            return self.graph.weight(array)
        if np.abs(array).max(initial=0) > _HIGHEST:
            raise ModelUnsupported('a weight exceeds half precision; use precision="fp32"')
        return self.graph.weight(array.astype(np.float16))
