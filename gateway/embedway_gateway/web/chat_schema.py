"""The OpenAPI schema of chats and completions, as far as the gateway looks at them."""

from __future__ import annotations

__all__ = ["ANSWER", "CHAT_BODY", "COMPLETION_BODY", "STREAM"]

_ROUTED = {
    "model": {"type": "string"},
    "stream": {"type": ["boolean", "null"], "default": False},
}
CHAT_BODY = {
    "type": "object",
    "required": ["model", "messages"],
    "properties": {**_ROUTED, "messages": {"type": "array", "items": {"type": "object"}}},
    "description": "Every other field of OpenAI's is passed on as it is.",
}
COMPLETION_BODY = {
    "type": "object",
    "required": ["model", "prompt"],
    "properties": {**_ROUTED, "prompt": {}},
    "description": "Every other field of OpenAI's is passed on as it is.",
}
ANSWER = {
    "type": "object",
    "properties": {"model": {"type": "string"}},
    "description": "The upstream's, with `stream` as server-sent events.",
}
STREAM = {"text/event-stream": {"schema": {"description": "OpenAI's chunks, one an event"}}}
"""The same, where `stream` was true."""
