"""The dialect of Hugging Face's text-embeddings-inference, versions 1.2 to 1.9."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from embedway_upstream.engines.accent import Accent
from embedway_upstream.engines.form import UNREADABLE
from embedway_upstream.engines.limit import Limits
from embedway_upstream.engines.probe import Facts, Probe, reader
from embedway_upstream.engines.ranking import ranked, reading
from embedway_upstream.engines.verdict import (
    Rule,
    empty,
    failed,
    invalid,
    misconfigured,
    misunderstood,
    no_route,
    too_long,
    too_many,
    unable,
    unreadable,
    wrong_size,
)
from embedway_upstream.error import BadReply
from embedway_upstream.rerank import RerankRequest, RerankResponse

__all__ = ["TEI"]

# A text of more characters for each token is refused before it is read (`core/src/tokenization.rs`,
# MAX_CHAR_MULTIPLIER), in 1.5 even where the server truncates.
_CHARACTERS_A_TOKEN = 250


class _Body(msgspec.Struct):
    query: str
    texts: tuple[str, ...]


class _Rank(msgspec.Struct):
    index: int
    score: float


class _Info(msgspec.Struct):
    model_id: str
    version: str
    model_type: dict[str, msgspec.Raw]
    max_concurrent_requests: int
    max_input_length: int
    max_client_batch_size: int
    served_model_name: str | None = None
    auto_truncate: bool | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[_Rank]).decode

_ABLE = {"embedding": "embed", "reranker": "rerank", "classifier": "classify"}


def _facts(told: _Info) -> Facts:
    return Facts(
        version=told.version,
        models=(told.served_model_name or told.model_id,),
        capabilities=tuple(_ABLE[name] for name in told.model_type if name in _ABLE),
        limits=Limits(
            # From 1.9 each text takes a permit: a batch of more than there are is always refused.
            max_inputs=min(told.max_client_batch_size, told.max_concurrent_requests),
            max_characters=told.max_input_length * _CHARACTERS_A_TOKEN,
            max_tokens=told.max_input_length,
        ),
        truncates=told.auto_truncate,
    )


class TEI(Accent):
    """
    Base64 since 1.3.0, floats before (the field is then unknown, and ignored). `model` may be
    anything. Vectors are normalised. Limits: `router/src/main.rs`, `max_client_batch_size` and
    `payload_limit`.

    Errors are flat on the OpenAI route and `{"error", "error_type"}` on the native ones; their
    status is 413 for Validation up to 1.8, 422 from 1.9 (`router/src/http/server.rs`), and what
    axum refuses is plain text.
    """

    limits = Limits(max_inputs=32, max_bytes=2_000_000)
    ready = "/health"
    probes = (Probe("/info", reader(_Info, _facts)),)

    rerank_path = "/rerank"
    rerank_limits = limits

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(too_many, says=r"^batch size \d+ > maximum allowed batch size (?P<limit>\d+)"),
        Rule(too_long, says=r"must have less than (?P<limit>\d+) tokens"),
        Rule(too_long, says=r"must have less than \d+ characters"),
        Rule(empty, says="`inputs` cannot be empty"),
        Rule(empty, kind="empty"),
        Rule(wrong_size, says="`dimensions` should be"),
        Rule(misconfigured, says="`default-prompt|prompt_name", kind="validation"),
        Rule(invalid, kind="validation"),
        Rule(unreadable, kind="tokenizer"),
        Rule(unable, says="model is not an? ", kind="backend"),
        Rule(failed, kind="backend"),
        Rule(failed, kind="unhealthy"),
        Rule(misunderstood, says="^Failed to (parse|deserialize)|^Expected request with"),
        Rule(no_route, statuses=frozenset({404, 405})),
    )

    def encode_rerank(self, request: RerankRequest) -> bytes:
        """The body of the request; TEI has no `top_n`, and serves one model."""
        return _encode(_Body(request.query, request.documents))

    def decode_rerank(self, body: bytes, request: RerankRequest) -> RerankResponse:
        """The results, the most relevant first; TEI tells no usage."""
        try:
            ranks = _decode(body)
        except UNREADABLE as error:
            raise BadReply(
                "the upstream's reply is not a list of scores", detail=type(error).__name__
            ) from None
        return ranked(((rank.index, rank.score) for rank in ranks), request, reading(request))
