"""What does an endpoint call: which upstream, as which model, with which credentials?"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from embedway_gateway.comparison import references_of
from embedway_gateway.config.credential import make_credentials
from embedway_gateway.config.load import load_config
from embedway_gateway.config.schema import Config, ModelConfig, PromptConfig, UpstreamConfig
from embedway_gateway.layers.prompt import PromptTexts
from embedway_gateway.place.error import PlaceError
from embedway_upstream import Bearer

if TYPE_CHECKING:
    from embedway_gateway.place.syntax import Spec
    from embedway_local import VectorSpace
    from embedway_upstream import Credentials

__all__ = ["Resolved", "local_prompts", "resolve"]

_KEY = "key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """An upstream outside any gateway; `prompts` of None are the local model's own."""

    item: UpstreamConfig
    model: ModelConfig
    credentials: Mapping[str, Credentials] = field(default_factory=dict)
    prompts: PromptTexts | None = None


def resolve(
    spec: Spec,
    *,
    engine: str = "openai",
    config: Path | None = None,
    capability: Literal["embed", "rerank"] = "embed",
) -> Resolved:
    """
    `engine` is that of a URL which names none; `config` holds the credentials that a URL names.
    Raises `PlaceError`, or `ConfigError` for a file that cannot be used.
    """
    if spec.kind == "config":
        return _of_config(spec, capability)
    if spec.kind == "local":
        from embedway_local import DEFAULT_MODEL
        from embedway_local.catalogue import full_name

        item = UpstreamConfig(name="local", engine="local")
        name = full_name(spec.where) if spec.where else DEFAULT_MODEL
        return Resolved(item=item, model=ModelConfig(name=name, upstreams=(item,)))
    return _of_url(spec, spec.engine or engine, config)


def _of_url(spec: Spec, engine: str, config: Path | None) -> Resolved:
    values: dict[str, object] = {
        name: value
        for name, value in spec.options.items()
        if name in UpstreamConfig.model_fields and name != "model"
    }
    values |= {
        "name": "endpoint",
        "engine": "openai" if engine == "embedway" else engine,
        "url": spec.where,
        "model": spec.name or None,
    }
    logins: dict[str, Credentials] = {}
    if "key" in spec.options:
        logins[_KEY] = _key(spec)
        values["credentials"] = _KEY
    elif "credentials" in spec.options:
        if config is None:
            raise PlaceError(f"{spec.label}: credentials= names some of a file; add --config FILE")
        logins = _logins(load_config(config), spec.options["credentials"], config)
    try:
        item = UpstreamConfig.model_validate(values)
    except ValueError as error:
        raise PlaceError(f"{spec.label}: {_first(error)}") from None
    # Of any size: which one it is shall be seen. The schema wants one, so it is not asked.
    name = spec.name or "model"
    model = ModelConfig.model_construct(name=name, upstreams=(item,), dimensions=None)
    return Resolved(item=item, model=model, credentials=logins, prompts=PromptTexts())


def _of_config(spec: Spec, capability: str) -> Resolved:
    config = load_config(Path(spec.where))
    model, item = _named(config, spec)
    if capability not in model.capabilities:
        raise PlaceError(f"{spec.label}: {model.name!r} does not {capability}")
    if "timeout" in spec.options:
        item = item.model_copy(update={"timeout": _seconds(spec)})
    logins = _logins(config, item.credentials, Path(spec.where)) if item.credentials else {}
    stated = model.prompts
    if isinstance(stated, PromptConfig):
        prompts = PromptTexts(stated.query, stated.document)
    elif item.engine == "local":
        prompts = None
    elif any(one.engine == "local" for one in model.upstreams):
        # The gateway would put the local model's before the texts of all.
        prompts = _shared_prompts(model)
    else:
        prompts = PromptTexts()
    sizeless = model.model_copy(update={"dimensions": None})
    return Resolved(item=item, model=sizeless, credentials=logins, prompts=prompts)


def _named(config: Config, spec: Spec) -> tuple[ModelConfig, UpstreamConfig]:
    for model in config.models:
        if spec.name in {model.name, *model.aliases}:
            return model, model.upstreams[references_of(model)[0]]
    found = [(m, one) for m in config.models for one in m.upstreams if one.name == spec.name]
    if not found:
        # Of several models, MODEL/UPSTREAM tells one from another.
        found = [
            (m, one)
            for m in config.models
            for one in m.upstreams
            if spec.name in {f"{name}/{one.name}" for name in (m.name, *m.aliases)}
        ]
    if len(found) == 1:
        return found[0]
    if found:
        models = ", ".join(f"{model.name}/{spec.name}" for model, _ in found)
        raise PlaceError(f"{spec.label}: several models have that upstream; write one of {models}")
    there = [name for m in config.models for name in (m.name, *(u.name for u in m.upstreams))]
    raise PlaceError(f"{spec.label}: no such model or upstream; there are {', '.join(there)}")


def local_prompts(model: ModelConfig, space: VectorSpace) -> PromptTexts:
    """Those of the local model's own files; with `prompts: auto`, where it has none, the known."""
    known = model.known_prompts
    if known is None or space.query_prompt or space.document_prompt:
        return PromptTexts(space.query_prompt, space.document_prompt)
    return PromptTexts(known.query, known.document)


def _shared_prompts(model: ModelConfig) -> PromptTexts:
    from embedway_local import LocalEmbedder

    local = next(one for one in model.upstreams if one.engine == "local")
    with LocalEmbedder(local.model or model.name, device="cpu") as embedder:
        return local_prompts(model, embedder.space)


def _logins(config: Config, name: str, path: Path) -> dict[str, Credentials]:
    if name not in config.credentials:
        there = ", ".join(config.credentials) or "none"
        raise PlaceError(f"{path} has no credentials {name!r}; there are {there}")
    return {name: make_credentials(config.credentials[name])}


def _key(spec: Spec) -> Credentials:
    name = spec.options["key"]
    value = os.environ.get(name)
    if not value:
        # Nor is the name shown: it may be the key itself, given by mistake.
        raise PlaceError(
            f"{spec.label}: key= names an environment variable that holds the API key, and there "
            "is none of that name; the key itself does not belong on the command line"
        )
    try:
        return Bearer(value)
    except ValueError as error:
        raise PlaceError(f"{spec.label}: {error}") from None


def _seconds(spec: Spec) -> float:
    try:
        return float(spec.options["timeout"].removesuffix("s"))
    except ValueError:
        raise PlaceError(f"{spec.label}: timeout= is a number of seconds") from None


def _first(error: ValueError) -> str:
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    one = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, one["loc"]))
    message = one["msg"].removeprefix("Value error, ").replace("insecure: true", "insecure=true")
    return f"{place}: {message}" if place else message
