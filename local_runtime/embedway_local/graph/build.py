"""Makes the ONNX model that a checkpoint is run with: ids in, unit vectors out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper

from embedway_local.graph.architecture import read_encoder
from embedway_local.graph.block import Blocks
from embedway_local.graph.export import extend, extend_scores
from embedway_local.graph.parts import Graph
from embedway_local.graph.pool import normalize, pool
from embedway_local.graph.score import TYPED, activate, require_head, score
from embedway_local.graph.weight import read_weights

if TYPE_CHECKING:
    from pathlib import Path

    from embedway_local.checkpoint import Checkpoint
    from embedway_local.scoring import Scoring

__all__ = ["build", "build_tokens", "save"]


def build(checkpoint: Checkpoint, scoring: Scoring | None = None) -> onnx.ModelProto:
    """
    Build the model; its one output is float32 (batch, dimensions), rows of unit length.

    With `scoring` it is a cross-encoder's, and its output (batch, 1) the scores of pairs.
    A checkpoint with an ONNX file keeps that graph and gains pooling; otherwise the graph is
    made from the weights. Raises `ModelUnsupported` or `ModelCorrupt`.
    """
    if checkpoint.onnx is not None:
        return extend(checkpoint) if scoring is None else extend_scores(checkpoint, scoring)
    return _from_weights(checkpoint, scoring)


def build_tokens(checkpoint: Checkpoint) -> onnx.ModelProto:
    """
    The encoder alone, made from the weights, for servers that pool by themselves.

    Inputs: `input_ids` and `attention_mask`, int64 (batch, length), padded on the right. Output:
    `last_hidden_state`, float32 (batch, length, hidden). Raises as `build` does.
    """
    encoder = read_encoder(checkpoint)
    weights = read_weights(list(checkpoint.weights), encoder.anchor)
    graph = Graph()
    ids = graph.add("Cast", "input_ids", to=TensorProto.INT32)
    inside = graph.add("Cast", "attention_mask", to=TensorProto.BOOL)
    tokens = encoder.encode(graph, weights, ids, _bias(graph, inside))
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
        for name in ("input_ids", "attention_mask")
    ]
    return graph.model(inputs, tokens, encoder.hidden, name="last_hidden_state", rank=3)


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write the model, its weights in a file of their own, which may exceed protobuf's 2 GB."""
    onnx.save_model(
        model,
        path,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location="weights",
        size_threshold=4096,
    )


def _from_weights(checkpoint: Checkpoint, scoring: Scoring | None) -> onnx.ModelProto:
    """
    Inputs: `ids` int32 (batch, length), padded on the right, and `lengths` int32 (batch,).

    Of a cross-encoder that knows them also `types`, as `ids`.
    """
    encoder = read_encoder(checkpoint)
    weights = read_weights(list(checkpoint.weights), encoder.anchor)
    kind = checkpoint.config.text("model_type")
    typed = scoring is not None and scoring.typed and kind in TYPED

    graph = Graph()
    inside = _inside(graph)
    bias = _bias(graph, inside)
    tokens = encoder.encode(graph, weights, "ids", bias, "types" if typed else None)
    mask = graph.add("Cast", inside, to=TensorProto.FLOAT)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT32, ["batch", "length"])
        for name in ("ids", "types")[: 1 + typed]
    ]
    inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"]))
    if scoring is None:
        vectors = normalize(graph, pool(graph, tokens, mask, checkpoint.pooling))
        return graph.model(inputs, vectors, encoder.hidden)
    require_head(kind)
    blocks = Blocks(graph, weights, graph.add("Shape", "ids"))
    logits = score(blocks, checkpoint.config, tokens, mask=mask, hidden=encoder.hidden)
    return graph.model(inputs, activate(graph, logits, scoring.activation), 1)


def _bias(graph: Graph, inside: str) -> str:
    """What is added to attention's scores: nothing where there is a token, else the lowest."""
    lowest = graph.scalar(float(np.finfo(np.float32).min))
    bias = graph.add("Where", inside, graph.scalar(0), lowest)
    return graph.add("Unsqueeze", bias, graph.integers(1, 2))


def _inside(graph: Graph) -> str:
    """Boolean (batch, length): is there a token?"""
    shape = graph.add("Shape", "ids")
    length = graph.add("Gather", shape, graph.weight(np.array(1, dtype=np.int64)), axis=0)
    zero, one = (graph.weight(np.array(value, dtype=np.int64)) for value in (0, 1))
    steps = graph.add("Range", zero, length, one)
    lengths = graph.add("Cast", "lengths", to=TensorProto.INT64)
    return graph.add("Less", steps, graph.add("Unsqueeze", lengths, graph.integers(1)))
