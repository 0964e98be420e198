"""What is asked of anything that chats or completes, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from embedway_upstream.trail import Trail

if TYPE_CHECKING:
    import msgspec

    from embedway_upstream.flow import Flow

__all__ = ["ChatReply", "ChatRequest", "ChatTask"]

ChatTask: TypeAlias = Literal["chat", "completions"]


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request that is passed on as it came; only the model's name is the upstream's own."""

    model: str
    task: ChatTask
    fields: Mapping[str, msgspec.Raw]
    """The body's fields, in the client's order and in its very bytes."""
    stream: bool = False
    deadline: float | None = None
    """On the monotonic clock, in seconds; of a stream, until it begins."""
    trail: Trail | None = field(default=None, repr=False, compare=False)
    """Where it was sent so far, once that matters."""


@dataclass(frozen=True, slots=True)
class ChatReply:
    """An answer in OpenAI's form, in the upstream's very bytes."""

    flow: Flow
    """Server-sent events where a stream was asked for, else one JSON object in one piece."""
    served_by: str
    fallback: bool = False
    """Whether an upstream of a lower priority answers."""
