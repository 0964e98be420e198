"""How is an endpoint written on the command line, and what does it mean?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Literal

from embedway_gateway.place.error import PlaceError

__all__ = ["ENGINES", "Spec", "parse"]

ENGINES = ("tei", "ovms", "infinity", "vllm", "openai", "onnx", "embedway")
"""`embedway` is our own gateway: OpenAI's dialect, which is told the input type as well."""

_EVERYWHERE = (
    "dimensions",
    "input_type",
    "prompt",
    "query_prompt",
    "document_prompt",
    "label",
)
_OPTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "local": ("pooling", "max_tokens", "device", "precision", "threads"),
        "url": (
            "model",
            "key",
            "credentials",
            "platform",
            "invoke",
            "path",
            "pooling",
            "max_inputs",
            "timeout",
            "insecure",
        ),
        "config": ("timeout",),
        "file": ("text", "vector"),
    }
)
_PASSWORD = re.compile(r"//[^/@]*@")
_ENGINE = re.compile(r"^([a-z]+)\+(?=https?://)")
# A comma is part of a value unless a name and = follow, so that a prompt may have one.
_COMMA = re.compile(r",(?=[a-z_]+=)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """An endpoint as it was written, taken apart."""

    written: str
    kind: Literal["local", "url", "config", "file"]
    where: str
    """The local model, the URL, or the file's path; empty for the default model."""
    engine: str | None = None
    name: str = ""
    """The model on the server, or what is named in the configuration."""
    options: Mapping[str, str]

    @property
    def label(self) -> str:
        """What it is called in tables."""
        if "label" in self.options:
            return self.options["label"]
        # Not the key's variable: it may be the key itself, given by mistake.
        shown = (f"{name}={value}" for name, value in self.options.items() if name != "key")
        return ",".join([_PASSWORD.sub("//…@", _COMMA.split(self.written)[0]), *shown])


def parse(written: str) -> Spec:
    """Raises `PlaceError`, which says what was meant, for what is no endpoint."""
    place, *pairs = _COMMA.split(written)
    options = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        options[name] = value
    spec = _spec(written, place, options)
    # What was embedded cannot be embedded otherwise.
    everywhere = _EVERYWHERE if spec.kind != "file" else ("label",)
    known = (*_OPTIONS[spec.kind], *everywhere)
    for name in options:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise PlaceError(f"{place}: there is no option {name!r} here; {advice}")
    return spec


def _spec(written: str, place: str, options: Mapping[str, str]) -> Spec:
    kind, _, model = place.partition(":")
    if kind == "local":
        return Spec(written=written, kind="local", where=model, options=options)
    if kind == "file":
        return Spec(written=written, kind="file", where=model, options=options)
    engine = _ENGINE.match(place)
    url = place[engine.end() :] if engine else place
    if url.startswith(("http://", "https://")):
        if engine and engine[1] not in ENGINES:
            raise PlaceError(f"{place}: no engine {engine[1]!r}; known: {', '.join(ENGINES)}")
        url, _, name = url.partition("#")
        return Spec(
            written=written,
            kind="url",
            where=url,
            engine=engine[1] if engine else None,
            name=name or options.get("model", ""),
            options=options,
        )
    path, hash_, name = place.partition("#")
    if path.endswith((".yaml", ".yml")):
        if not hash_ or not name:
            raise PlaceError(f"{place}: name a model or upstream of the file, as {path}#NAME")
        return Spec(written=written, kind="config", where=path, name=name, options=options)
    if place.endswith((".parquet", ".jsonl", ".npy")):
        raise PlaceError(f"{place!r} is no endpoint: a file of vectors is written file:{place}")
    raise PlaceError(
        f"{place!r} is no endpoint: write `local`, `local:MODEL`, a URL such as "
        "http://127.0.0.1:8080/v1 or tei+http://127.0.0.1:8081, or CONFIG.yaml#NAME"
    )
