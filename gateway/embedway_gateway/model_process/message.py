"""What workers ask the model process, and what it answers: the headers of the frames."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from embedway_gateway.runtime import Loads

__all__ = [
    "Answer",
    "Ask",
    "Cancel",
    "Embed",
    "Embedded",
    "Failed",
    "Kind",
    "Load",
    "LoadRanker",
    "Loaded",
    "RankerLoaded",
    "Score",
    "Scored",
    "Unload",
    "encode",
    "read_answer",
    "read_ask",
]

Kind: TypeAlias = Literal["invalid", "device", "load", "late", "fault"]


class _Message(msgspec.Struct, frozen=True, tag_field="operation", tag=str.lower):
    """A new operation is one more class; one that is not known is a broken peer."""

    number: int
    """The call's, chosen by who asks; its answer bears the same."""


class Load(_Message, frozen=True):
    """Have a model ready; it stays until `Unload`, or the end of the connection."""

    loads: Loads


class LoadRanker(_Message, frozen=True):
    """The same for a model that reranks."""

    loads: Loads


class Unload(_Message, frozen=True):
    """The model that was loaded under this number is not needed any more; there is no answer."""


class Embed(_Message, frozen=True):
    """Embed texts; the vectors are the payload of the answer."""

    load: int
    """The number of the `Load` that was answered."""
    texts: tuple[str, ...]
    seconds: float | None
    """Until the deadline."""


class Score(_Message, frozen=True):
    """Score documents; the scores are the payload of the answer."""

    load: int
    """The number of the `LoadRanker` that was answered."""
    query: str
    documents: tuple[str, ...]
    seconds: float | None
    """Until the deadline."""


class Cancel(_Message, frozen=True):
    """Nobody waits for this call any more; there is no answer, to this nor to the call."""


class Loaded(_Message, frozen=True):
    """The model is ready."""

    model: str
    device: str
    dimensions: int
    max_tokens: int
    space: dict[str, str | int | bool | float | None]
    """The fields of its `VectorSpace`."""
    fingerprint: str
    agreement: float | None = None


class Embedded(_Message, frozen=True):
    """Followed by `rows` vectors, float32, little-endian."""

    rows: int
    tokens: int
    truncated: int


class RankerLoaded(_Message, frozen=True):
    """The reranker is ready."""

    model: str
    device: str
    max_tokens: int


class Scored(_Message, frozen=True):
    """Followed by a score a document, float32, little-endian."""

    tokens: int
    truncated: int


class Failed(_Message, frozen=True):
    """The call failed, as it would have in the worker itself."""

    kind: Kind
    message: str
    problem: str = ""
    rows: tuple[int, ...] = ()
    """The texts that it is about, where it is about texts."""


Ask: TypeAlias = Load | LoadRanker | Unload | Embed | Score | Cancel
Answer: TypeAlias = Loaded | RankerLoaded | Embedded | Scored | Failed

encode = msgspec.msgpack.Encoder().encode
read_ask = msgspec.msgpack.Decoder(Ask).decode
read_answer = msgspec.msgpack.Decoder(Answer).decode
