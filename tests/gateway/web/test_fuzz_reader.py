"""
Whatever bytes a client sends, a reader gives a request that holds what was sent, or an error of
ours. `EMBEDWAY_EXAMPLES` is how many are tried.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubles.mangled import examples, json_values, mangled, read_all
from embedway_gateway.web.chat_body import read_chat_body
from embedway_gateway.web.error import HTTPError, error_reply
from embedway_gateway.web.reader import read_embedding_body
from embedway_gateway.web.rerank import read_rerank_body
from embedway_gateway.web.tei_error import tei_error_reply
from embedway_gateway.web.tei_reader import read_embed_body, read_tei_rerank_body

READERS: dict[str, tuple[Callable[[bytes], Any], dict[str, Any]]] = {
    "embeddings": (
        read_embedding_body,
        {
            "model": "m",
            "input": ["a", "b"],
            "encoding_format": "base64",
            "dimensions": 4,
            "input_type": "query",
            "user": "u",
        },
    ),
    "rerank": (
        read_rerank_body,
        {
            "model": "m",
            "query": "q",
            "documents": ["a", {"text": "b"}],
            "top_n": 2,
            "return_documents": True,
        },
    ),
    "embed": (
        read_embed_body,
        {
            "inputs": ["a"],
            "model": "m",
            "truncate": True,
            "truncation_direction": "right",
            "normalize": True,
            "dimensions": 4,
            "prompt_name": "query",
            "input_type": "query",
        },
    ),
    "tei rerank": (
        read_tei_rerank_body,
        {"query": "q", "texts": ["a", "b"], "raw_scores": False, "return_text": True},
    ),
    "chat": (
        lambda body: read_chat_body(body, "chat"),
        {"model": "m", "stream": True, "messages": [{"role": "user", "content": "a"}]},
    ),
    "completions": (
        lambda body: read_chat_body(body, "completions"),
        {"model": "m", "stream": False, "prompt": "a"},
    ),
}


def texts_of(read: Any) -> list[str] | None:
    """What the reader will have embedded or ranked."""
    if hasattr(read, "inputs") and isinstance(read.inputs, tuple):
        return list(read.inputs)
    if hasattr(read, "texts"):
        return list(read.texts() if callable(read.texts) else read.texts)
    return None


def said(sent: Any) -> list[str]:
    """The texts of a body, as Python's own JSON reads them."""
    found = sent.get("input", sent.get("inputs", sent.get("documents", sent.get("texts"))))
    found = [found] if isinstance(found, str) else found
    return [item["text"] if isinstance(item, dict) else item for item in found]


def require_form(error: HTTPError) -> None:
    assert 400 <= error.status < 500
    for form in (error_reply, tei_error_reply):
        status, headers, reply = form(error)
        assert 400 <= status < 500
        assert len(reply) < 3000
        assert dict(headers)[b"content-length"] == b"%d" % len(reply)
        json.loads(reply)


def require_sound(read: Callable[[bytes], Any], body: bytes) -> None:
    try:
        found = read(body)
    except HTTPError as error:
        require_form(error)
        return
    sent = read_all(body)
    if (texts := texts_of(found)) is not None:
        assert texts == said(sent)
        assert all(texts)
        # What goes on to an engine can be written.
        json.dumps(texts, ensure_ascii=False).encode()
    if found.model is not None:
        assert found.model == sent["model"]


@pytest.mark.parametrize("name", READERS)
def test_a_reader_gives_what_was_sent_or_an_error_of_ours(name: str) -> None:
    read, good = READERS[name]
    require_sound(read, json.dumps(good).encode())

    @examples()
    @given(st.one_of(mangled(good), json_values().map(_dumped), st.binary(max_size=200)))
    def whatever(body: bytes) -> None:
        require_sound(read, body)

    whatever()


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()
