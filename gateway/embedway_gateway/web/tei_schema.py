"""The shapes of TEI's `/embed` and `/rerank` as the OpenAPI schema tells them."""

from __future__ import annotations

__all__ = ["EMBED_ANSWER", "EMBED_BODY", "TEI_ERROR", "TEI_RERANK_ANSWER", "TEI_RERANK_BODY"]

_TEXT = {"type": "string", "minLength": 1}
_EITHER = {
    "model": {
        "type": ["string", "null"],
        "description": "Needed where several models can; `?model=` in the address does too",
    },
    "truncate": {"enum": [True, None], "default": None},
    "truncation_direction": {"enum": ["right", "Right", None], "default": "right"},
}
EMBED_BODY = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "inputs": {
            "anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": 2048}]
        },
        **_EITHER,
        "normalize": {"enum": [True, None], "default": True},
        "dimensions": {"type": ["integer", "null"], "minimum": 1},
        "prompt_name": {"enum": ["query", "document", None], "default": None},
        "input_type": {"enum": ["query", "document", None], "default": "document"},
    },
}
EMBED_ANSWER = {
    "type": "array",
    "items": {"type": "array", "items": {"type": "number"}},
}
TEI_RERANK_BODY = {
    "type": "object",
    "required": ["query", "texts"],
    "properties": {
        "query": _TEXT,
        "texts": {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": 10000},
        **_EITHER,
        "raw_scores": {"enum": [False, None], "default": False},
        "return_text": {"type": ["boolean", "null"], "default": False},
    },
}
TEI_RERANK_ANSWER = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["index", "score"],
        "properties": {
            "index": {"type": "integer", "minimum": 0},
            "score": {"type": "number"},
            "text": {"type": "string"},
        },
    },
}
TEI_ERROR = {
    "type": "object",
    "required": ["error", "error_type"],
    "properties": {
        "error": {"type": "string"},
        "error_type": {"enum": ["Validation", "Empty", "Overloaded", "Backend", "Unhealthy"]},
    },
}
