"""
Converts a model with OpenVINO, or embeds with what was converted; run by the Python that has it.

The order is JSON on stdin, the answer JSON on stdout. It runs as a file, in an interpreter that may
hold nothing of ours.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["convert", "embed", "main"]

_TOKENS = ("last_hidden_state", "token_embeddings")


def convert(order: Mapping[str, Any]) -> dict[str, str]:
    """The graph and the tokenizer as OpenVINO's IR; the versions that made them."""
    import openvino  # pyright: ignore[reportMissingImports]
    import openvino_tokenizers  # pyright: ignore[reportMissingImports]
    from transformers import PreTrainedTokenizerFast  # pyright: ignore[reportMissingImports]

    model = _tokens_only(openvino.convert_model(order["graph"]), order["graph"])
    if order["format"] in {"int8", "int4"}:
        import nncf  # pyright: ignore[reportMissingImports]

        mode = nncf.CompressWeightsMode
        if order["format"] == "int8":
            model = nncf.compress_weights(model, mode=mode.INT8_ASYM)
        else:
            model = nncf.compress_weights(model, mode=mode.INT4_ASYM, group_size=32)
    openvino.save_model(model, order["model"], compress_to_fp16=order["format"] == "fp16")
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=order["tokenizer"])
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(order["pad"])
    most = order["max_tokens"]
    # Without `most` it keeps no limit of its own: the one in the tokenizer's file may be another.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    limits = {} if most is None else {"max_length": most, "truncation": True}
    converted = openvino_tokenizers.convert_tokenizer(tokenizer, **limits)
    openvino.save_model(converted, order["tokens"], compress_to_fp16=False)
    return {"openvino": openvino.get_version().partition("-")[0]}


def embed(order: Mapping[str, Any]) -> dict[str, Any]:
    """
    Unit vectors of all texts in one batch, pooled as the server does it; importing
    openvino_tokenizers registers the tokenizer's operators.
    """
    import numpy as np
    import openvino  # pyright: ignore[reportMissingImports]
    import openvino_tokenizers  # noqa: F401 # pyright: ignore[reportMissingImports]

    core = openvino.Core()
    # Else a processor that has bfloat16 takes it.
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    tokenizer = core.compile_model(order["tokens"], "CPU")
    model = core.compile_model(order["model"], "CPU", exact)
    names = {name for item in model.inputs for name in item.names}
    given = {item.any_name: value for item, value in tokenizer(order["texts"]).items()}
    found = model({name: value for name, value in given.items() if name in names})[0]
    mask = given["attention_mask"]
    if order["pooling"] == "CLS":
        vectors = found[:, 0]
    elif order["pooling"] == "LAST":
        vectors = found[np.arange(len(found)), mask.sum(axis=1) - 1]
    else:
        counts = np.maximum(mask.sum(axis=1, keepdims=True), 1)
        vectors = (found * mask[:, :, None]).sum(axis=1) / counts
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return {"vectors": vectors.tolist(), "longest": int(mask.sum(axis=1).max())}


def _tokens_only(model: Any, graph: str) -> Any:
    """The server takes the first output: only the tokens' vectors stay."""
    import openvino  # pyright: ignore[reportMissingImports]

    outputs = {name: item for item in model.outputs for name in item.names}
    chosen = next((outputs[name] for name in _TOKENS if name in outputs), None)
    if chosen is None:
        chosen = next((item for item in model.outputs if item.partial_shape.rank == 3), None)
    if chosen is None:
        raise SystemExit(f"{graph} has no vectors of tokens among its outputs {sorted(outputs)}")
    wanted = {"input_ids", "attention_mask", "token_type_ids"}
    inputs = {name for item in model.inputs for name in item.names}
    if not inputs <= wanted or not {"input_ids", "attention_mask"} <= inputs:
        raise SystemExit(f"{graph} has the inputs {sorted(inputs)}, the server gives {wanted}")
    return openvino.Model([chosen], _untyped(model), "embedder")


def _untyped(model: Any) -> list[Any]:
    """
    The inputs without the kinds of tokens, which are all zero: not every tokenizer gives them, and
    the server fills in ones where a request has ids.
    """
    from openvino import opset13  # pyright: ignore[reportMissingImports]

    given = {name: item for item in model.get_parameters() for name in item.output(0).names}
    if (kinds := given.get("token_type_ids")) is not None:
        ids = given["input_ids"]
        zeros = opset13.multiply(ids, opset13.constant(0, ids.get_element_type()))
        whole = opset13.convert(zeros, kinds.get_element_type().to_string())
        kinds.output(0).replace(whole.output(0))
    return [given[name] for name in ("input_ids", "attention_mask")]


def main() -> None:
    """One order, one answer."""
    order = json.loads(sys.stdin.read())
    # What libraries print must not come between.
    with contextlib.redirect_stdout(sys.stderr):
        answer = {"convert": convert, "embed": embed}[sys.argv[1]](order)
    Path(sys.argv[2]).write_text(json.dumps(answer), "utf-8")


if __name__ == "__main__":
    main()
