"""
A `score.py` as OCI's conda runtime loads it: a vector for every token, every mistake an exception.

Not imported from here: it is copied beside its model, `tokenizer.json` and `onnx/model.onnx`.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnxruntime
from tokenizers import Tokenizer

FOLDER = Path(__file__).resolve().parent
PADDING = "[PAD]"
REQUEST = {
    "$defs": {
        "one": {
            "oneOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "integer", "minimum": 0}},
            ]
        },
        "format": {"type": "string", "enum": ["float", "base64"]},
    },
    "type": "object",
    "required": ["input", "model"],
    "properties": {
        "input": {
            "oneOf": [
                {"$ref": "#/$defs/one"},
                {"type": "array", "items": {"$ref": "#/$defs/one"}},
            ]
        },
        "model": {"type": "string"},
        "encoding_format": {"allOf": [{"$ref": "#/$defs/format"}]},
        "user": {"type": "string"},
    },
}
EXAMPLE = {"input": ["one text", "another"], "model": "name"}


@functools.cache
def load_model(file: str = "model.onnx") -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it would print, it raises
    path = str(FOLDER / "onnx" / file)
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@functools.cache
def load_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id(PADDING), pad_token=PADDING)
    return tokenizer


def predict(
    data: Any,
    model: onnxruntime.InferenceSession = load_model(),  # noqa: B008 - the platform's signature
) -> dict[str, Any]:
    check(data)
    encoded = tokenise(data["input"])
    names = [one.name for one in model.get_inputs()]
    rows = model.run(None, {name: encoded[name] for name in names})[0]
    counted = int((encoded["input_ids"] != load_tokenizer().token_to_id(PADDING)).sum())
    items = [
        {"object": "embedding", "embedding": row.tolist(), "index": index}
        for index, row in enumerate(rows)
    ]
    usage = {"prompt_tokens": counted, "total_tokens": counted}
    return {"object": "list", "data": items, "model": data["model"], "usage": usage}


def check(data: Any) -> None:
    try:
        jsonschema.validate(data, REQUEST)
    except jsonschema.ValidationError as error:
        shown = f"An example of the expected format: {json.dumps(EXAMPLE)}"
        raise ValueError(f"JSON is invalid. Error: {error.message}\n {shown}") from error


def tokenise(texts: Any) -> dict[str, Any]:
    """Padded to the longest, never cut; refuses what transformers (5.23) refuses, in its words."""
    if not is_text(texts):
        raise ValueError(
            "text input must be of type `str` (single example), `list[str]` (batch or single "
            "pretokenized example) or `list[list[str]]` (batch of pretokenized examples) or "
            "`list[tuple[list[str], list[str]]]` (batch of pretokenized sequence pairs)."
        )
    found = load_tokenizer().encode_batch([texts] if isinstance(texts, str) else texts)
    return {
        "input_ids": np.array([one.ids for one in found]),
        "attention_mask": np.array([one.attention_mask for one in found]),
        "token_type_ids": np.array([one.type_ids for one in found]),
    }


def is_text(texts: Any) -> bool:
    """Only the first of a list is looked at."""
    first = texts
    while isinstance(first, list) and first:
        first = first[0]
    return isinstance(first, str | list)
