"""Describes the plain ASGI route in the OpenAPI schema, which FastAPI makes of its own routes."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

__all__ = ["describe"]

_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_BODY = {
    "type": "object",
    "required": ["model", "input"],
    "properties": {
        "model": {"type": "string"},
        "input": {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1},
                    "minItems": 1,
                    "maxItems": 2048,
                },
            ]
        },
        "encoding_format": {"enum": ["float", "base64", None], "default": "float"},
        "dimensions": {"type": ["integer", "null"], "minimum": 1},
        "input_type": {"enum": ["query", "document", None], "default": "document"},
        "user": {"type": ["string", "null"]},
    },
}
_VECTOR = {"anyOf": [{"type": "array", "items": {"type": "number"}}, {"type": "string"}]}
_ANSWER = {
    "type": "object",
    "required": ["object", "data", "model", "usage"],
    "properties": {
        "object": {"const": "list"},
        "data": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["object", "index", "embedding"],
                "properties": {
                    "object": {"const": "embedding"},
                    "index": {"type": "integer", "minimum": 0},
                    "embedding": _VECTOR,
                },
            },
        },
        "model": {"type": "string"},
        "usage": {
            "type": "object",
            "required": ["prompt_tokens", "total_tokens"],
            "properties": {
                "prompt_tokens": {"type": "integer"},
                "total_tokens": {"type": "integer"},
            },
        },
    },
}
_STATUSES = {
    "400": "The request is wrong; `param` names the field",
    "404": "No such model",
    "413": "The body is too large",
    "415": "The body is not JSON",
    "429": "Too many requests",
    "500": "A fault of the gateway",
    "502": "The upstream failed, or its reply was wrong",
    "503": "No upstream can be reached",
    "504": "The upstream took too long",
}


def describe(app: FastAPI) -> None:
    """Add `POST /v1/embeddings` to the schema."""
    own = app.openapi

    def openapi() -> dict[str, Any]:
        schema = own()
        schema["paths"]["/v1/embeddings"] = {"post": _operation()}
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def _operation() -> dict[str, object]:
    def content(schema: object) -> dict[str, object]:
        return {"application/json": {"schema": schema}}

    responses: dict[str, object] = {
        "200": {
            "description": "The vectors, in the order of the inputs",
            "content": content(_ANSWER),
        }
    }
    for status, text in _STATUSES.items():
        responses[status] = {"description": text, "content": content(_ERROR)}
    return {
        "tags": ["embeddings"],
        "summary": "Embed texts",
        "requestBody": {"required": True, "content": content(_BODY)},
        "responses": responses,
    }
