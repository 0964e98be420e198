"""Writes a BERT's weights as the ONNX file that exporters make of it, for a stand-in to run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from safetensors.numpy import load_file

from embedway_local.graph.parts import Graph

_OPSET = 17
_IR_VERSION = 8


def export(folder: Path, target: Path, *, pooled: bool = False) -> None:
    """
    Write the model of `folder` (config.json, model.safetensors) to `target`.

    Its first output is `last_hidden_state` (batch, tokens, hidden), or with `pooled` the mean of
    each text's tokens, not normalised.
    """
    model = _Export(folder)
    tokens = model.embed()
    bias = model.bias()
    for index in range(model.config["num_hidden_layers"]):
        tokens = model.layer(f"encoder.layer.{index}", tokens, bias)
    output, shape = (model.mean(tokens), ["b"]) if pooled else (tokens, ["b", "t"])
    name = "sentence_embedding" if pooled else "last_hidden_state"
    graph = model.graph
    graph.nodes.append(helper.make_node("Identity", [output], [name]))
    kinds = {"input_ids": 7, "attention_mask": 7, "token_type_ids": 7}
    made = helper.make_graph(
        graph.nodes,
        "bert",
        [helper.make_tensor_value_info(key, kind, ["b", "t"]) for key, kind in kinds.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [*shape, model.hidden])],
        graph.weights,
    )
    whole = helper.make_model(made, opset_imports=[helper.make_opsetid("", _OPSET)])
    whole.ir_version = _IR_VERSION
    onnx.save_model(whole, target)


class _Export:
    """Node for node what `torch.onnx.export` writes, so that the runtime fails in the same ones."""

    def __init__(self, folder: Path) -> None:
        self.graph = Graph()
        self.config = json.loads((folder / "config.json").read_text("utf-8"))
        self.hidden = self.config["hidden_size"]
        self._heads = self.config["num_attention_heads"]
        self._weights = load_file(folder / "model.safetensors")

    def embed(self) -> str:
        add, integers = self.graph.add, self.graph.integers
        words = add("Gather", self._weight("embeddings.word_embeddings.weight"), "input_ids")
        kinds = self._weight("embeddings.token_type_embeddings.weight")
        both = add("Add", words, add("Gather", kinds, "token_type_ids"))
        length = add("Slice", add("Shape", "input_ids"), integers(1), integers(2))
        # As many as the longest text has, and never more: one text that is longer fails here.
        buffer = self._weight("embeddings.position_ids")
        places = add("Slice", buffer, integers(0), length, integers(1))
        table = self._weight("embeddings.position_embeddings.weight")
        return self._norm("embeddings.LayerNorm", add("Add", both, add("Gather", table, places)))

    def bias(self) -> str:
        """Of the attention's scores, (b, 1, 1, t)."""
        add, number = self.graph.add, self.graph.scalar
        mask = add("Cast", "attention_mask", to=TensorProto.FLOAT)
        wide = add("Unsqueeze", mask, self.graph.integers(1, 2))
        lowest = float(np.finfo(np.float32).min)
        return add("Mul", add("Sub", number(1), wide), number(lowest))

    def layer(self, name: str, tokens: str, bias: str) -> str:
        add, number = self.graph.add, self.graph.scalar
        mixed = self._attention(f"{name}.attention.self", tokens, bias)
        out = self._linear(f"{name}.attention.output.dense", mixed)
        tokens = self._norm(f"{name}.attention.output.LayerNorm", add("Add", out, tokens))
        wide = self._linear(f"{name}.intermediate.dense", tokens)
        curve = add("Add", add("Erf", add("Div", wide, number(2**0.5))), number(1))
        wide = add("Mul", add("Mul", wide, curve), number(0.5))
        out = self._linear(f"{name}.output.dense", wide)
        return self._norm(f"{name}.output.LayerNorm", add("Add", out, tokens))

    def mean(self, tokens: str) -> str:
        add, axis = self.graph.add, self.graph.integers(1)
        mask = add("Cast", "attention_mask", to=TensorProto.FLOAT)
        wide = add("Unsqueeze", mask, self.graph.integers(2))
        total = add("ReduceSum", add("Mul", tokens, wide), axis, keepdims=0)
        return add("Div", total, add("ReduceSum", mask, axis, keepdims=1))

    def _attention(self, name: str, tokens: str, bias: str) -> str:
        add, integers = self.graph.add, self.graph.integers
        size = self.hidden // self._heads
        query, key, value = (
            add("Reshape", self._linear(f"{name}.{part}", tokens), integers(0, 0, -1, size))
            for part in ("query", "key", "value")
        )
        query, value = (add("Transpose", one, perm=[0, 2, 1, 3]) for one in (query, value))
        scores = add("MatMul", query, add("Transpose", key, perm=[0, 2, 3, 1]))
        scores = add("Add", add("Div", scores, self.graph.scalar(size**0.5)), bias)
        mixed = add("MatMul", add("Softmax", scores, axis=-1), value)
        mixed = add("Transpose", mixed, perm=[0, 2, 1, 3])
        return add("Reshape", mixed, integers(0, 0, self.hidden))

    def _linear(self, name: str, tokens: str) -> str:
        weight = self.graph.weight(self._weights[f"{name}.weight"].T)
        bias = self._weight(f"{name}.bias")
        return self.graph.add("Add", bias, self.graph.add("MatMul", tokens, weight))

    def _norm(self, name: str, tokens: str) -> str:
        scale, bias = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        epsilon = self.config["layer_norm_eps"]
        add = self.graph.add
        return add("LayerNormalization", tokens, scale, bias, axis=-1, epsilon=epsilon)

    def _weight(self, name: str) -> str:
        return self.graph.weight(self._weights[name])
