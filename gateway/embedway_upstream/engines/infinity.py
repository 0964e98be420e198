"""The dialect of infinity (`infinity_emb`), version 0.0.77."""

from __future__ import annotations

from typing import ClassVar

from embedway_upstream.embedding import EmbeddingRequest, Usage
from embedway_upstream.engines.accent import stem_of
from embedway_upstream.engines.cohere import Cohere
from embedway_upstream.engines.limit import Limits
from embedway_upstream.engines.probe import Probe, model_list
from embedway_upstream.engines.ranking import reading
from embedway_upstream.engines.usage import estimate
from embedway_upstream.engines.verdict import (
    Rule,
    empty,
    failed,
    misunderstood,
    no_key,
    no_route,
    too_long,
    too_many,
    unable,
    unknown_model,
    wrong_size,
)
from embedway_upstream.rerank import RerankRequest

__all__ = ["Infinity"]

_LIMITS = Limits(max_inputs=2048, max_characters=122_880)


class Infinity(Cohere):
    """
    `prefix` is the server's `--url-prefix`, `/v1` on SAP AI Core. A server of one model ignores
    `model`. A text that is too long is cut without a word.

    Its usage counts characters (unless it was started with `--lengths-via-tokenize`, which a reply
    does not tell), so that ours is always an estimate. Its 422 repeats the whole input: only
    the `type` of each entry is read. Limits: `infinity_emb/fastapi_schemas/pymodels.py`.
    """

    limits = _LIMITS
    rerank_limits = _LIMITS
    # Never under the prefix, and true whatever the models do: the port opens when they are loaded.
    ready = "/health"
    unpooled: ClassVar[str] = (
        "the upstream gave a vector for every token and not for every text: its model is a "
        "multi-vector one (ColBERT)"
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(too_many, kind="too_long"),
        Rule(too_long, kind="string_too_long"),
        Rule(empty, kind="too_short"),
        Rule(misunderstood, kind="json_invalid"),
        Rule(misunderstood, kind="model_attributes_type"),
        Rule(misunderstood, kind="union_tag_invalid"),
        Rule(misunderstood, statuses=frozenset({422})),
        Rule(unknown_model, says="Engine for model name .* not found"),
        Rule(wrong_size, says="MatryoshkaDimError"),
        Rule(unable, says="ModelNotDeployedError"),
        Rule(no_key, statuses=frozenset({401, 403})),
        Rule(no_route, statuses=frozenset({404, 405})),
        Rule(failed, statuses=frozenset({500})),
    )

    def __init__(self, *, model: str | None = None, prefix: str = "") -> None:
        super().__init__(model=model)
        stem = stem_of(prefix)
        self.path = f"{stem}/embeddings"
        self.rerank_path = f"{stem}/rerank"
        self.probes = (Probe(f"{stem}/models", model_list),)

    def usage(self, told: Usage, request: EmbeddingRequest) -> Usage:
        """An estimate: what is told are characters."""
        return estimate(request.inputs)

    def rerank_usage(self, told: Usage, request: RerankRequest) -> Usage:
        """An estimate: what is told are characters."""
        return reading(request)
