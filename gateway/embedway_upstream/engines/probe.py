"""What an engine tells of itself, and where it is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from embedway_upstream.engines.form import UNREADABLE
from embedway_upstream.engines.limit import Limits
from embedway_upstream.error import BadReply

__all__ = ["Facts", "Probe", "model_list", "reader"]

Told = TypeVar("Told")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was told; empty or None where nothing was."""

    version: str | None = None
    models: tuple[str, ...] = ()
    """The names that `model` may have."""
    capabilities: tuple[str, ...] = ()
    """Of embed, rerank and classify."""
    limits: Limits = field(default_factory=Limits)
    truncates: bool | None = None
    """Whether a text beyond `limits.max_tokens` is cut; otherwise it is refused."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A GET of `path`, and how its 200 is read: `read` raises `BadReply` and nothing else."""

    path: str
    read: Callable[[bytes], Facts]


def reader(form: type[Told], facts: Callable[[Told], Facts]) -> Callable[[bytes], Facts]:
    """A `Probe.read` for JSON of the given form."""
    decode = msgspec.json.Decoder(form).decode

    def read(body: bytes) -> Facts:
        try:
            return facts(decode(body))
        except UNREADABLE as error:
            raise BadReply(
                "the upstream tells of itself in no form that is known", detail=type(error).__name__
            ) from None

    return read


class _Model(msgspec.Struct):
    id: str
    max_model_len: int | None = None
    capabilities: list[str] = []


class _Models(msgspec.Struct):
    data: list[_Model]


def _from_models(told: _Models) -> Facts:
    lengths = {model.max_model_len for model in told.data}
    able = {name for model in told.data for name in model.capabilities}
    return Facts(
        models=tuple(model.id for model in told.data),
        capabilities=tuple(sorted(able)),
        # Several models of different lengths: none holds for the upstream.
        limits=Limits(max_tokens=lengths.pop() if len(lengths) == 1 else None),
    )


model_list = reader(_Models, _from_models)
"""
OpenAI's list of models, with vLLM's `max_model_len` (`vllm/entrypoints/openai`, ModelCard) and
infinity's `capabilities` (`infinity_emb`, ModelInfo) where they are given.
"""
