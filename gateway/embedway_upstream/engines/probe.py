"""What an engine tells of itself, and where it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from embedway_upstream.engines.form import UNREADABLE
from embedway_upstream.engines.limit import Limits
from embedway_upstream.error import BadReply

__all__ = ["Facts", "Probe", "merged", "model_list", "reader"]

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


def merged(told: Iterable[Facts]) -> Facts:
    """Each fact from the first who told it."""
    every = list(told)
    limits = [facts.limits for facts in every]
    return Facts(
        version=_first(facts.version for facts in every),
        models=_first(facts.models or None for facts in every) or (),
        capabilities=_first(facts.capabilities or None for facts in every) or (),
        limits=Limits(
            max_inputs=_first(limit.max_inputs for limit in limits),
            max_bytes=_first(limit.max_bytes for limit in limits),
            max_characters=_first(limit.max_characters for limit in limits),
            max_tokens=_first(limit.max_tokens for limit in limits),
        ),
        truncates=_first(facts.truncates for facts in every),
    )


def _first(values: Iterable[Told | None]) -> Told | None:
    return next((value for value in values if value is not None), None)


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
