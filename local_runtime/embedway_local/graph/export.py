"""Adds pooling and normalisation to a checkpoint's own ONNX export."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import onnx
from onnx import TensorProto, helper
from onnx.external_data_helper import uses_external_data

from embedway_local.checkpoint import SHIFTED
from embedway_local.error import ModelCorrupt, ModelUnsupported
from embedway_local.graph.outside import outside_files
from embedway_local.graph.parts import OUTPUT, Graph, embedding_output
from embedway_local.graph.pool import normalize, pool
from embedway_local.graph.score import activate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from embedway_local.checkpoint import Checkpoint
    from embedway_local.scoring import Scoring

__all__ = ["extend", "extend_scores"]

# What transformers and sentence-transformers call the token vectors, and the pooled ones.
_TOKENS = ("last_hidden_state", "token_embeddings")
_POOLED = "sentence_embedding"
_LOGITS = "logits"


def extend(checkpoint: Checkpoint) -> onnx.ModelProto:
    """
    The checkpoint's own graph, ending in vectors of unit length instead of what it ended in.

    Vectors that it pooled itself, `sentence_embedding`, are taken unless another pooling was asked
    for. Raises `ModelCorrupt` for a file that is no ONNX, `ModelUnsupported` for one without them
    or token vectors (batch, length, hidden).
    """
    path = checkpoint.onnx
    assert path is not None
    try:
        return _extended(path, checkpoint)
    except UnicodeDecodeError as error:  # protobuf reads a name's bytes when it is asked for it
        raise ModelCorrupt(f"{path}: not a readable ONNX file ({error})") from error


def _extended(path: Path, checkpoint: Checkpoint) -> onnx.ModelProto:
    model = _open(path, checkpoint)
    outputs = {output.name: output for output in model.graph.output}
    _require_mask(model, path)

    graph = Graph()
    if _POOLED in outputs and not checkpoint.repooled:
        source, vectors = _POOLED, graph.add("Cast", _POOLED, to=TensorProto.FLOAT)
    else:
        source = _tokens(outputs, path, checkpoint)
        mask = graph.add("Cast", "attention_mask", to=TensorProto.FLOAT)
        # Half-precision exports are pooled in single precision.
        tokens = graph.add("Cast", source, to=TensorProto.FLOAT)
        vectors = pool(graph, tokens, mask, checkpoint.pooling)
    size = _sizes(outputs[source])[-1:]
    stated = size[0] if size and size[0] else checkpoint.hidden
    return _ended(model, graph, normalize(graph, vectors), stated)


def extend_scores(checkpoint: Checkpoint, scoring: Scoring) -> onnx.ModelProto:
    """
    A cross-encoder's own graph, ending in the scores of pairs, float32 (batch, 1).

    Raises `ModelUnsupported` for one without `logits` of one label, and as `extend` does.
    """
    path = checkpoint.onnx
    assert path is not None
    try:
        return _scored(path, checkpoint, scoring)
    except UnicodeDecodeError as error:  # as above
        raise ModelCorrupt(f"{path}: not a readable ONNX file ({error})") from error


def _scored(path: Path, checkpoint: Checkpoint, scoring: Scoring) -> onnx.ModelProto:
    model = _open(path, checkpoint)
    outputs = {output.name: output for output in model.graph.output}
    if _LOGITS not in outputs or _sizes(outputs[_LOGITS])[-1:] not in ([0], [1]):
        raise ModelUnsupported(
            f"{path}: no output {_LOGITS} (batch, 1); its outputs are {', '.join(outputs)}"
        )
    _require_mask(model, path)
    graph = Graph()
    return _ended(model, graph, activate(graph, _LOGITS, scoring.activation), 1)


def _open(path: Path, checkpoint: Checkpoint) -> onnx.ModelProto:
    model = _load(path)
    _require_placed(model, checkpoint)
    if any(item.domain in {"", "ai.onnx"} and item.version < 13 for item in model.opset_import):
        raise ModelUnsupported(f"{path}: opset older than 13; export the model again")
    return model


def _require_mask(model: onnx.ModelProto, path: Path) -> None:
    if all(item.name != "attention_mask" for item in model.graph.input):
        raise ModelUnsupported(f"{path}: no input attention_mask, so padding would count")


def _require_placed(model: onnx.ModelProto, checkpoint: Checkpoint) -> None:
    """Positions are given counted from 0, which is not how RoBERTa counts them."""
    kind = checkpoint.config.values.get("model_type")
    if kind in SHIFTED and any(item.name == "position_ids" for item in model.graph.input):
        raise ModelUnsupported(f"{checkpoint.onnx}: an input position_ids, which {kind} counts")


def _ended(model: onnx.ModelProto, graph: Graph, output: str, size: int) -> onnx.ModelProto:
    """The model with what was added to it, and one output."""
    model.graph.initializer.extend(graph.weights)
    model.graph.node.extend(graph.nodes)
    model.graph.node.append(helper.make_node("Identity", [output], [OUTPUT]))
    del model.graph.output[:]
    model.graph.output.append(embedding_output(size))
    return model


def _load(path: Path) -> onnx.ModelProto:
    """The model with all its tensors, of which those in other files may be more than 2 GB."""
    names = {file.name for file in outside_files(path)}
    try:
        model = onnx.load(path, load_external_data=False)
        for tensor in _tensors(model):
            if uses_external_data(tensor):
                _bring_in(tensor, path.parent, names)
    except (ModelCorrupt, ModelUnsupported):
        raise
    except Exception as error:  # protobuf raises its own classes, which are not public
        raise ModelCorrupt(f"{path}: not a readable ONNX file ({error})") from error
    return model


def _bring_in(tensor: onnx.TensorProto, folder: Path, names: set[str]) -> None:
    """
    Read a tensor's bytes, and forget that they were elsewhere.

    Ours, because the `onnx` package refuses links, of which the hub's cache is made; `names` are
    what was found to be beside the model.
    """
    about = {entry.key: entry.value for entry in tensor.external_data}
    name = about.get("location", "")
    if name not in names:
        raise ModelCorrupt(f"{folder}: tensor {tensor.name!r} is in {name!r}, which is not known")
    size = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize * math.prod(tensor.dims)
    offset, length = int(about.get("offset", 0)), int(about.get("length", size))
    with (folder / name).open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        if not 0 <= offset <= offset + length <= end:
            raise ModelCorrupt(
                f"{folder / name}: {end} bytes long, but a tensor is at {offset} to "
                f"{offset + length}; it is another model's, or was not copied whole"
            )
        file.seek(offset)
        tensor.raw_data = file.read(length)
    del tensor.external_data[:]
    tensor.data_location = TensorProto.DEFAULT


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


def _tokens(outputs: dict[str, onnx.ValueInfoProto], path: Path, checkpoint: Checkpoint) -> str:
    """
    The name of the output that holds the token vectors.

    One of another name only where it is the only one of three axes, and of the model's own width:
    a head's logits, or its weights of words, have as many axes, and ColBERT's vectors that width.
    """
    for name in _TOKENS:
        if name in outputs:
            return name
    if _POOLED in outputs:
        raise ModelUnsupported(
            f"{path}: its vectors are pooled in the graph, and there are no token vectors that "
            f"could be pooled as {checkpoint.pooling!r}; leave pooling= out, or say in "
            "1_Pooling/config.json how they are pooled"
        )
    wide = [name for name, output in outputs.items() if len(_sizes(output)) == 3]
    # Of a damaged file a name may be bytes.
    only = wide[0] if len(wide) == 1 and "colbert" not in str(wide[0]) else None
    if only is not None and _sizes(outputs[only])[-1] == checkpoint.hidden:
        return only
    raise ModelUnsupported(
        f"{path}: no output {' or '.join(_TOKENS)}, and none that surely holds the token vectors "
        f"(batch, length, {checkpoint.hidden}); its outputs are {', '.join(map(str, outputs))}"
    )


def _sizes(value: onnx.ValueInfoProto) -> list[int]:
    """The sizes of a tensor, 0 where they depend on the input."""
    return [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
