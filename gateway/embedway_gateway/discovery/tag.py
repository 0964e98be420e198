"""
The freeform tag `embedway`, by which a deployment says itself what it is.

    embedway: off                                          never found
    embedway: BAAI/bge-base-en-v1.5                        its name, the rest is recognised
    embedway: all-MiniLM-L6-v2, engine=onnx, pooling=cls   and what cannot be
    embedway: engine=vllm, invoke=route                    facts without a name

Keys: name, engine, invoke, model (what the engine expects), path, capabilities (joined by `+`),
dimensions, pooling, precision, revision. A tag's value has at most 256 characters on OCI.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from embedway_gateway.discovery.found import Capability, EngineName, Invoke
from embedway_gateway.precision import Precision

__all__ = ["Tag", "read_tag"]

_KEYS = (
    "name",
    "engine",
    "invoke",
    "model",
    "path",
    "capabilities",
    "dimensions",
    "pooling",
    "precision",
    "revision",
)
_POOLINGS = Literal["cls", "mean", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """What the tag says; None where it says nothing."""

    hidden: bool = False
    name: str | None = None
    engine: EngineName | None = None
    invoke: Invoke | None = None
    model: str | None = None
    path: str | None = None
    capabilities: frozenset[Capability] = frozenset()
    dimensions: int | None = None
    pooling: str | None = None
    precision: Precision | None = None
    revision: str | None = None


def read_tag(tags: Mapping[str, str]) -> Tag | None:
    """The tag among a resource's freeform tags, None without one. `ValueError` names a mistake."""
    value = next((tags[key] for key in tags if key.lower() == "embedway"), "").strip()
    if not value:
        return None
    if value.lower() in {"off", "false", "no", "ignore"}:
        return Tag(hidden=True)
    pairs: dict[str, str] = {}
    for place, part in enumerate(value.split(",")):
        key, equals, content = part.partition("=")
        key, content = (key.strip().lower(), content.strip()) if equals else ("name", part.strip())
        if key not in _KEYS or (not equals and place > 0) or key in pairs:
            raise ValueError(f"{part.strip()!r} is not understood (known: {', '.join(_KEYS)})")
        pairs[key] = content
    path, size = pairs.get("path"), pairs.get("dimensions")
    if path and not path.startswith("/"):
        raise ValueError("path must begin with /")
    if size and not (size.isascii() and size.isdigit() and 0 < int(size[:9]) == int(size)):
        raise ValueError("dimensions must be a whole number")
    wanted = pairs.get("capabilities", "")
    capabilities = {_one_of(word, Capability, "capabilities") for word in wanted.split("+") if word}
    precision = pairs.get("precision")
    engine, invoke = pairs.get("engine"), pairs.get("invoke")
    return Tag(
        name=pairs.get("name") or None,
        engine=cast("EngineName", _one_of(engine, EngineName, "engine")) if engine else None,
        invoke=cast("Invoke", _one_of(invoke, Invoke, "invoke")) if invoke else None,
        model=pairs.get("model") or None,
        path=path or None,
        capabilities=frozenset(cast("set[Capability]", capabilities)),
        dimensions=int(size) if size else None,
        pooling=_one_of(pairs["pooling"], _POOLINGS, "pooling") if pairs.get("pooling") else None,
        precision=cast("Precision", _one_of(precision, Precision, "precision"))
        if precision
        else None,
        revision=pairs.get("revision") or None,
    )


def _one_of(value: str, kind: object, key: str) -> str:
    known = get_args(kind)
    if value.strip().lower() not in known:
        raise ValueError(f"{key} must be one of {', '.join(known)}")
    return value.strip().lower()
