"""The dialect of vLLM's pooling server, with nested errors (0.10.1 and later) and flat ones."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from embedway_upstream.embedding import EmbeddingRequest
from embedway_upstream.engines.accent import stem_of
from embedway_upstream.engines.cohere import Cohere
from embedway_upstream.engines.limit import Limits
from embedway_upstream.engines.openai import OpenAI
from embedway_upstream.engines.probe import Facts, Probe, model_list, reader
from embedway_upstream.engines.verdict import (
    Rule,
    busy,
    empty,
    failed,
    misunderstood,
    no_route,
    per_token,
    too_long,
    unable,
    unreadable,
    wrong_size,
)

__all__ = ["VLLM"]


class _Body(msgspec.Struct):
    model: str
    input: tuple[str, ...]
    encoding_format: str = "base64"
    # base64 is of the server's own number format and byte order unless they are named.
    embed_dtype: str = "float32"
    endianness: str = "little"


class _Version(msgspec.Struct):
    version: str


_encode = msgspec.json.Encoder().encode

_CURE = (
    "; its pooling task is `token_embed` (--pooler-config), or its model is a multi-vector one "
    "(ColBERT)"
)


class VLLM(Cohere):
    """
    `model` must be a served name (AI Quick Actions serves `odsc-llm`). Whether vectors are
    normalised, and whether a long text is refused, is the deployment's choice.

    Routes are there only where the model can do the task (`vllm/entrypoints/pooling`), so that a
    404 without a word of the model is a model of another kind. `prefix` is `/v1` where only
    routes below it are reached or guarded.
    """

    limits = Limits()
    # VLLM_MAX_COMPLETION_PROMPTS, in versions after 0.33.
    rerank_limits = Limits(max_inputs=1024)
    ready = "/health"
    probes = (
        Probe("/v1/models", model_list),
        Probe("/version", reader(_Version, lambda told: Facts(version=told.version))),
    )
    unpooled: ClassVar[str] = OpenAI.unpooled + _CURE

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(too_long, says=r"longer than the maximum model length of (?P<limit>\d+)"),
        Rule(wrong_size, says="Matryoshka|dimensions in range"),
        Rule(empty, says="at least one prompt|prompt cannot be empty"),
        Rule(per_token, says="encoding_format", statuses=frozenset({400, 422})),
        Rule(unable, says="does not support (the )?(Embeddings|Pooling|Score|Rerank)"),
        Rule(unable, statuses=frozenset({501})),
        Rule(misunderstood, says="validation error|Unsupported Media Type|was removed; use"),
        Rule(unreadable, says="truncate_prompt_tokens"),
        *OpenAI.rules,
        Rule(no_route, statuses=frozenset({404, 405})),
        Rule(busy, says="currently busy", statuses=frozenset({503})),
        Rule(failed, statuses=frozenset({500, 503})),
    )

    def __init__(self, *, model: str | None = None, prefix: str = "") -> None:
        super().__init__(model=model)
        self.rerank_path = f"{stem_of(prefix)}/rerank"

    def encode(self, request: EmbeddingRequest) -> bytes:
        """The body of the request."""
        return _encode(_Body(self._model or request.model, request.inputs))
