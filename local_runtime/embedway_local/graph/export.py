"""Adds pooling and normalisation to a checkpoint's own ONNX export."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from onnx import TensorProto, helper
from onnx.external_data_helper import load_external_data_for_model, uses_external_data

from embedway_local.error import ModelCorrupt, ModelUnsupported
from embedway_local.graph.parts import OUTPUT, Graph, embedding_output
from embedway_local.graph.pool import normalize, pool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from embedway_local.checkpoint import Checkpoint

__all__ = ["extend"]

# What transformers and sentence-transformers call the token vectors, and the pooled ones.
_TOKENS = ("last_hidden_state", "token_embeddings")
_POOLED = "sentence_embedding"


def extend(checkpoint: Checkpoint) -> onnx.ModelProto:
    """
    The checkpoint's own graph, ending in vectors of unit length instead of what it ended in.

    Raises `ModelCorrupt` for a file that is no ONNX, `ModelUnsupported` for one without token
    vectors (batch, length, hidden) or `sentence_embedding`.
    """
    path = checkpoint.onnx
    assert path is not None
    try:
        return _extended(path, checkpoint)
    except UnicodeDecodeError as error:  # protobuf reads a name's bytes when it is asked for it
        raise ModelCorrupt(f"{path}: not a readable ONNX file ({error})") from error


def _extended(path: Path, checkpoint: Checkpoint) -> onnx.ModelProto:
    model = _load(path, checkpoint.graph_files)
    if any(item.domain in {"", "ai.onnx"} and item.version < 13 for item in model.opset_import):
        raise ModelUnsupported(f"{path}: opset older than 13; export the model again")
    outputs = {output.name: output for output in model.graph.output}

    graph = Graph()
    if _POOLED in outputs:
        source, vectors = _POOLED, graph.add("Cast", _POOLED, to=TensorProto.FLOAT)
    else:
        source = _tokens(outputs, path)
        if all(item.name != "attention_mask" for item in model.graph.input):
            raise ModelUnsupported(f"{path}: no input attention_mask, so padding would count")
        mask = graph.add("Cast", "attention_mask", to=TensorProto.FLOAT)
        # Half-precision exports are pooled in single precision.
        tokens = graph.add("Cast", source, to=TensorProto.FLOAT)
        vectors = pool(graph, tokens, mask, checkpoint.pooling)
    unit = normalize(graph, vectors)
    model.graph.initializer.extend(graph.weights)
    model.graph.node.extend(graph.nodes)
    model.graph.node.append(helper.make_node("Identity", [unit], [OUTPUT]))
    size = _sizes(outputs[source])[-1:]
    del model.graph.output[:]
    model.graph.output.append(embedding_output(size[0] if size and size[0] else checkpoint.hidden))
    return model


def _load(path: Path, files: tuple[Path, ...]) -> onnx.ModelProto:
    try:
        model = onnx.load(path, load_external_data=False)
        _require_known(model, path, files)
        load_external_data_for_model(model, str(path.parent))
    except ModelUnsupported:
        raise
    except Exception as error:  # protobuf raises its own classes, which are not public
        raise ModelCorrupt(f"{path}: not a readable ONNX file ({error})") from error
    return model


def _require_known(model: onnx.ModelProto, path: Path, files: tuple[Path, ...]) -> None:
    """Tensors in a file not among `files` would not count in the vector space's fingerprint."""
    outside = {
        entry.value
        for tensor in _tensors(model)
        if uses_external_data(tensor)
        for entry in tensor.external_data
        if entry.key == "location"
    }
    unknown = sorted(outside - {file.name for file in files})
    if unknown:
        raise ModelUnsupported(
            f"{path}: its tensors are in {', '.join(unknown)}; "
            f"export them into one file, {path.name}_data"
        )


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """All constants, those inside of nodes, of branches and of the model's own functions too."""
    graphs = [model.graph]
    nodes = [node for function in model.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            nodes += graph.node
        else:
            for attribute in nodes.pop().attribute:
                yield from (attribute.t, *attribute.tensors)
                graphs += [attribute.g] if attribute.HasField("g") else []
                graphs += attribute.graphs


def _tokens(outputs: dict[str, onnx.ValueInfoProto], path: Path) -> str:
    """The name of the output that holds the token vectors."""
    for name in _TOKENS:
        if name in outputs:
            return name
    for name, output in outputs.items():
        if len(_sizes(output)) == 3:
            return name
    raise ModelUnsupported(
        f"{path}: no output of token vectors (batch, length, hidden); "
        f"its outputs are {', '.join(outputs)}"
    )


def _sizes(value: onnx.ValueInfoProto) -> list[int]:
    """The sizes of a tensor, 0 where they depend on the input."""
    return [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
