"""The dialect of OpenAI's `/v1/embeddings`, which most engines speak with an accent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from embedway_upstream.chat import ChatRequest
from embedway_upstream.embedding import EmbeddingRequest, EmbeddingResponse, Usage
from embedway_upstream.engines.chat import chat_error, chat_paths, encode_chat
from embedway_upstream.engines.form import UNREADABLE
from embedway_upstream.engines.limit import Limits
from embedway_upstream.engines.probe import Probe, model_list
from embedway_upstream.engines.usage import Told, counted
from embedway_upstream.engines.vector import UNPOOLED, numbered, row, stack, why
from embedway_upstream.engines.verdict import Rule, judge, too_large, too_long, unknown_model
from embedway_upstream.error import EmbeddingError

__all__ = ["OpenAI"]


class _Body(msgspec.Struct, omit_defaults=True):
    model: str
    input: tuple[str, ...]
    encoding_format: str
    dimensions: int | None = None
    input_type: str | None = None


class _Item(msgspec.Struct):
    index: int
    embedding: str | list[float]


class _Reply(msgspec.Struct):
    data: list[_Item]
    usage: Told | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Reply).decode


class OpenAI:
    """
    OpenAI's contract, asked for base64: 4.4 times fewer bytes than floats, and read 40 times
    faster. A server that answers with floats all the same is understood.

    `model` is the name that the server expects, when it is not the request's. `input_type` is
    sent where the server is known to take it (our own gateway does). Limits are those of OpenAI's
    API reference.
    """

    path = "/v1/embeddings"
    limits = Limits(max_inputs=2048)
    chat_paths = chat_paths("/v1")
    ready: str | None = None
    probes: tuple[Probe, ...] = (Probe("/v1/models", model_list),)

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(unknown_model, kind="model_not_found"),
        Rule(unknown_model, says="model .* does not exist", statuses=frozenset({404})),
        Rule(too_long, says=r"maximum context length is (?P<limit>\d+)"),
        Rule(too_long, kind="context_length_exceeded"),
        Rule(too_large, kind="max_tokens_per_request"),
    )
    unpooled: ClassVar[str] = UNPOOLED
    """What is said of a vector for every token."""

    def __init__(self, *, model: str | None = None, input_type: bool = False) -> None:
        self._model = model
        self._input_type = input_type

    def encode(self, request: EmbeddingRequest) -> bytes:
        """The body of the request."""
        return _encode(
            _Body(
                model=self._model or request.model,
                input=request.inputs,
                encoding_format="base64",
                dimensions=request.dimensions,
                input_type=request.input_type if self._input_type else None,
            )
        )

    def decode(self, body: bytes, request: EmbeddingRequest) -> EmbeddingResponse:
        """The vectors, put in the order of the inputs by each item's `index`."""
        try:
            reply = _decode(body)
        except UNREADABLE as error:
            flawed = why(body, len(request.inputs), self.unpooled)
            flawed.detail = type(error).__name__
            raise flawed from None
        items = ((item.index, row(item.embedding)) for item in reply.data)
        return EmbeddingResponse(
            model=request.model,
            vectors=stack(numbered(items, len(request.inputs))),
            usage=self.usage(counted(reply.usage), request),
            served_by="",
        )

    def usage(self, told: Usage, request: EmbeddingRequest) -> Usage:
        """What was told, zeros where nothing was."""
        return told

    def encode_chat(self, request: ChatRequest) -> bytes:
        """The client's own body, under the name that the server expects."""
        return encode_chat(request, self._model)

    def chat_error(self, status: int, headers: Mapping[str, str], body: bytes) -> EmbeddingError:
        """What they stand for when the body was a client's."""
        return chat_error(status, headers, body)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> EmbeddingError:
        """What the status and the body stand for; nothing of the body is passed on."""
        return judge(self.rules, status, headers, body)
