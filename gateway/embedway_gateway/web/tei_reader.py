"""Reads the bodies of TEI's `/embed` and `/rerank`, and refuses what cannot be promised."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from embedway_gateway.web.reader import MAX_INPUTS
from embedway_gateway.web.rerank import MAX_DOCUMENTS
from embedway_gateway.web.tei_error import TEIError
from embedway_upstream import InputType
from embedway_upstream.engines.form import UNREADABLE

__all__ = ["EmbedBody", "TEIRerankBody", "read_embed_body", "read_tei_rerank_body"]

# By name: TEI's `prompt_name`, and the `input_type` that asks for the same prompt.
_PROMPTS: dict[str, InputType] = {"query": "query", "document": "document"}


class _Body(msgspec.Struct):
    """What both routes take. `null` is the default, as TEI's clients write it."""

    model: str | None = None
    truncate: bool | None = None
    truncation_direction: str | None = None


class EmbedBody(_Body, kw_only=True):
    """The fields of TEI's that are understood, and `model` and `input_type`, which are ours."""

    inputs: str | list[str]
    prompt_name: str | None = None
    normalize: bool | None = None
    dimensions: int | None = None
    input_type: str | None = None

    def texts(self) -> tuple[str, ...]:
        """The inputs, of a single one too."""
        return (self.inputs,) if isinstance(self.inputs, str) else tuple(self.inputs)

    def kind(self) -> InputType:
        """What the texts are, by either name for it."""
        return _PROMPTS[self.input_type or self.prompt_name or "document"]


class TEIRerankBody(_Body, kw_only=True):
    """The fields of TEI's that are understood, and `model`, which is ours."""

    query: str
    texts: list[str]
    raw_scores: bool | None = None
    return_text: bool | None = None


_decode_embed = msgspec.json.Decoder(EmbedBody).decode
_decode_rerank = msgspec.json.Decoder(TEIRerankBody).decode
Body = TypeVar("Body")


def read_embed_body(body: bytes) -> EmbedBody:
    """A valid body, or `TEIError`. Inputs are never repeated in a message."""
    read = _decode(_decode_embed, body)
    _require_texts("inputs", read.texts(), MAX_INPUTS)
    _require_cut(read)
    if read.normalize is False:
        raise TEIError(
            422,
            "normalize: false is not served here: many engines normalise whatever they are asked. "
            "POST /v1/embeddings gives the model's vectors as they are.",
        )
    if read.dimensions is not None and read.dimensions < 1:
        raise TEIError(422, "dimensions must be at least 1.")
    for field, name in (("prompt_name", read.prompt_name), ("input_type", read.input_type)):
        if name is not None and name not in _PROMPTS:
            raise TEIError(422, f"{field} must be {' or '.join(map(repr, _PROMPTS))}.")
    if read.prompt_name and read.input_type and read.prompt_name != read.input_type:
        raise TEIError(422, "prompt_name and input_type ask for different prompts; give one.")
    return read


def read_tei_rerank_body(body: bytes) -> TEIRerankBody:
    """A valid body, or `TEIError`. Texts are never repeated in a message."""
    read = _decode(_decode_rerank, body)
    if not read.query:
        raise TEIError(400, "query cannot be empty.", error_type="Empty")
    _require_texts("texts", tuple(read.texts), MAX_DOCUMENTS)
    _require_cut(read)
    if read.raw_scores:
        raise TEIError(
            422,
            "raw_scores: true is not served here: the scores are those that the engine gives "
            "unasked. Leave it out.",
        )
    return read


def _decode(decode: Callable[[bytes], Body], body: bytes) -> Body:
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        # msgspec's messages name types and places, never values.
        raise TEIError(422, _explain(str(error))) from None
    except UNREADABLE:
        raise TEIError(400, "The body is not JSON of Unicode text in UTF-8.") from None


def _explain(said: str) -> str:
    if "$.inputs[" in said and ("got `int`" in said or "got `array`" in said):
        return (
            "inputs holds token ids. They mean another text to this model's tokenizer; send text "
            "instead."
        )
    return f"The body is not as TEI defines it: {said}."


def _require_texts(field: str, texts: tuple[str, ...], most: int) -> None:
    if not texts:
        raise TEIError(400, f"{field} cannot be empty; give at least one text.", error_type="Empty")
    if len(texts) > most:
        raise TEIError(422, f"{field} has {len(texts)} texts; at most {most} are taken.")
    if "" in texts:
        raise TEIError(400, f"{field}[{texts.index('')}] cannot be empty.", error_type="Empty")


def _require_cut(read: _Body) -> None:
    """A promise about long texts that no engine keeps for us is refused, not broken."""
    if read.truncate is False:
        raise TEIError(
            422,
            "truncate: false cannot be promised: whether a long text is cut is decided where the "
            "model is deployed. Leave it out, or send true.",
        )
    # TEI reads both spellings.
    if read.truncation_direction not in (None, "right", "Right"):
        raise TEIError(422, "truncation_direction must be 'right': texts are cut at their end.")
