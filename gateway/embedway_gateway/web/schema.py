"""Describes the plain ASGI routes in the OpenAPI schema, which FastAPI makes of its own routes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI

from embedway_gateway.web import chat_schema
from embedway_gateway.web.tei_schema import (
    EMBED_ANSWER,
    EMBED_BODY,
    TEI_ERROR,
    TEI_RERANK_ANSWER,
    TEI_RERANK_BODY,
)

__all__ = ["describe", "failures"]

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
    "401": "No valid API key",
    "404": "No such model, or none that this key may use",
    "408": "The body took too long to come",
    "413": "The body is too large",
    "415": "The body is not JSON",
    "421": "The gateway does not answer to the name that Host states",
    "429": "Too many requests",
    "500": "A fault of the gateway",
    "502": "The upstream failed, or its reply was wrong",
    "503": "No upstream can be reached",
    "504": "The upstream took too long",
}
_SAID = _STATUSES | {
    "403": "The API key has no admin rights",
    "404": "It is not here",
}
_TEI_STATUSES = _STATUSES | {
    "400": "A text is empty, the body is not JSON, or several models could be meant",
    "422": "The request is wrong, or asks for what cannot be promised",
}


_RERANK_BODY = {
    "type": "object",
    "required": ["model", "query", "documents"],
    "properties": {
        "model": {"type": "string"},
        "query": {"type": "string", "minLength": 1},
        "documents": {
            "type": "array",
            "minItems": 1,
            "maxItems": 10000,
            "items": {
                "anyOf": [
                    {"type": "string", "minLength": 1},
                    {
                        "type": "object",
                        "required": ["text"],
                        "properties": {"text": {"type": "string", "minLength": 1}},
                    },
                ]
            },
        },
        "top_n": {"type": ["integer", "null"], "minimum": 1},
        "return_documents": {"type": ["boolean", "null"], "default": False},
    },
}
_RERANK_ANSWER = {
    "type": "object",
    "required": ["id", "model", "results", "usage"],
    "properties": {
        "id": {"type": "string"},
        "model": {"type": "string"},
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "relevance_score"],
                "properties": {
                    "index": {"type": "integer", "minimum": 0},
                    "relevance_score": {"type": "number"},
                    "document": {"type": "object", "properties": {"text": {"type": "string"}}},
                },
            },
        },
        "usage": _ANSWER["properties"]["usage"],  # type: ignore[index]
    },
}


def failures(*statuses: str) -> dict[int | str, dict[str, Any]]:
    """What a route of FastAPI's may answer besides, each in OpenAI's form."""
    return {
        status: {"description": _SAID[status], "content": {"application/json": {"schema": _ERROR}}}
        for status in statuses
    }


def describe(app: FastAPI) -> None:
    """Add the plain ASGI routes to the schema."""
    own = app.openapi
    embed = _operation("embeddings", "Embed texts", _BODY, _ANSWER)
    rerank = _operation("rerank", "Order documents by relevance", _RERANK_BODY, _RERANK_ANSWER)

    def openapi() -> dict[str, Any]:
        schema = own()
        # The same object each time; what is done to it may be done again.
        for methods in schema["paths"].values():
            # FastAPI's own, of which `_on_wrong_query` makes a 400.
            methods.get("get", {}).get("responses", {}).pop("422", None)
        schema.setdefault("components", {})["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer", "description": "Where keys are asked for"}
        }
        schema["security"] = [{"key": []}, {}]
        schema["paths"] |= {
            "/v1/embeddings": {"post": embed},
            "/v1/rerank": {"post": rerank},
            "/v2/rerank": {"post": rerank},
            "/v1/chat/completions": {
                "post": _chat("Chat", chat_schema.CHAT_BODY),
            },
            "/v1/completions": {
                "post": _chat("Complete a text", chat_schema.COMPLETION_BODY),
            },
            "/embed": {"post": _tei("Embed texts, as TEI does", EMBED_BODY, EMBED_ANSWER)},
            "/rerank": {
                "post": _tei("Order texts, as TEI does", TEI_RERANK_BODY, TEI_RERANK_ANSWER)
            },
        }
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def _chat(summary: str, body: object) -> dict[str, object]:
    return _operation("chat", summary, body, chat_schema.ANSWER, more=chat_schema.STREAM)


def _tei(summary: str, body: object, answer: object) -> dict[str, object]:
    return _operation("tei", summary, body, answer, statuses=_TEI_STATUSES, error=TEI_ERROR)


def _operation(
    tag: str,
    summary: str,
    body: object,
    answer: object,
    *,
    statuses: Mapping[str, str] = _STATUSES,
    error: object = _ERROR,
    more: Mapping[str, object] = MappingProxyType({}),
) -> dict[str, object]:
    """`more` is what else a good answer may be, by its content type."""

    def content(schema: object) -> dict[str, object]:
        return {"application/json": {"schema": schema}}

    good = {**content(answer), **more}
    responses: dict[str, object] = {
        "200": {"description": "The answer, as was asked for", "content": good}
    }
    for status, text in statuses.items():
        responses[status] = {"description": text, "content": content(error)}
    return {
        "tags": [tag],
        "summary": summary,
        "requestBody": {"required": True, "content": content(body)},
        "responses": responses,
    }
