"""What the configuration's schema says: as tables, and as a JSON Schema for editors."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from embedway_gateway.config.schema import Config

# Words of a meaning that lead to where they are explained.
LINKS = {
    "ServerConfig.keys": {"file of API keys": "keys.md"},
    "ServerConfig.oidc": {"An identity provider": "#oidc"},
    "OIDCConfig.limits": {"Of a token": "#limits-of-keys-and-models"},
    "OIDCConfig.claims": {"names of claims": "#claims"},
    "ModelConfig.limits": {"What all callers together may use": "#limits-of-keys-and-models"},
    "ServerConfig.request_timeout": {"deadline": "concepts.md#deadline-timeout"},
    "ServerConfig.drain_delay": {"a load balancer": "gateway.md#stopping"},
    "OCIConfig.requests_per_second": {
        "OCI counts by tenancy": "#limits-that-are-shared-and-limits-that-are-found"
    },
    "ModelConfig.dimensions": {"catalogue": "local-runtime.md#the-catalogue"},
    "ModelConfig.prompts": {"the catalogue": "local-runtime.md#the-catalogue"},
    "ModelConfig.reference": {"defines the vector space": "#which-upstream-defines-the-space"},
    "ModelConfig.agreement": {"that was measured": "local-runtime.md#precision"},
    "ModelConfig.cache": {"cache": "#cache"},
    "UpstreamConfig.engine": {
        "hosted provider": "#hosted-providers",
        "one beside them": "gateway.md#where-local-models-are-computed",
        "reranks": "local-runtime.md#reranking",
    },
    "UpstreamConfig.resource_group": {"credentials of type `aicore`": "#aicore"},
    "UpstreamConfig.device": {"devices": "local-runtime.md#devices"},
    "UpstreamConfig.precision": {"is run in it": "local-runtime.md#precision"},
    "AICoreDiscoveryConfig.api_url": {"the credentials": "#aicore"},
}

_MARKED = re.compile(r"(<!-- made of (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_VARIABLE = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*\}"}
_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def sections() -> dict[str, type[BaseModel]]:
    """Every part of a file, by its name."""
    found: dict[str, type[BaseModel]] = {}

    def visit(annotation: object) -> None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            if annotation.__name__ in found:
                return
            found[annotation.__name__] = annotation
            for field in annotation.model_fields.values():
                visit(field.annotation)
        for inner in get_args(annotation):
            visit(inner)

    visit(Config)
    return found


def with_tables(page: str) -> str:
    """The page with a fresh table between the comments that name a part of the file."""
    known = sections()

    def fresh(match: re.Match[str]) -> str:
        return f"{match[1]}\n{table(known[match[2]])}\n{match[3]}"

    return _MARKED.sub(fresh, page)


def table(section: type[BaseModel]) -> str:
    """One row a key: what it may be, its default, what it means."""
    lines = ["| key | what it may be | default | |", "|---|---|---|---|"]
    meanings = described(section)
    for name, field in section.model_fields.items():
        meaning = linked(f"{section.__name__}.{name}", meanings[name]).removesuffix(".")
        cells = (f"`{name}`", kind(field), shown(field), meaning)
        lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def described(section: type[BaseModel]) -> dict[str, str]:
    """
    The docstring below each key, in one line.

    `KeyError` of a part of the file whose key has none; `type` needs none.
    """
    found = {"type": "Which kind this is"}
    # What it inherits first.
    for part in reversed(section.__mro__):
        if issubclass(part, BaseModel) and part is not BaseModel:
            found.update(_below(part))
    if missing := [name for name in section.model_fields if name not in found]:
        raise KeyError(f"{section.__name__}: {', '.join(missing)} have no docstring below them")
    return found


def _below(section: type[BaseModel]) -> Iterator[tuple[str, str]]:
    source = ast.parse(inspect.getsource(section)).body[0]
    assert isinstance(source, ast.ClassDef)
    for key, text in zip(source.body, source.body[1:], strict=False):
        if isinstance(key, ast.AnnAssign) and isinstance(text, ast.Expr):
            assert isinstance(key.target, ast.Name)
            assert isinstance(text.value, ast.Constant)
            yield key.target.id, " ".join(str(text.value.value).split())


def linked(place: str, meaning: str) -> str:
    for words, target in LINKS.get(place, {}).items():
        if words not in meaning:
            raise KeyError(f"{place}: the docstring does not say {words!r} (any more)")
        meaning = meaning.replace(words, f"[{words}]({target})", 1)
    return meaning


def _of_optional(annotation: object) -> Iterator[object]:
    """What is said of a value that may also be absent."""
    members = get_args(annotation)
    if type(None) not in members:
        return
    for member in members:
        for item in getattr(member, "__metadata__", ()):
            yield from item.metadata if isinstance(item, FieldInfo) else (item,)


def kind(field: FieldInfo) -> str:
    """What a value may be, in words."""
    for item in field.metadata:
        name = getattr(getattr(item, "func", None), "__name__", "")
        if name in {"_duration", "_size"}:
            return name.removeprefix("_")
        if name == "_listed":
            return "text, or a list"
    bounds = [
        f"{sign} {getattr(item, name):.10g}"
        for item in [*field.metadata, *_of_optional(field.annotation)]
        for name, sign in _BOUNDS.items()
        if getattr(item, name, None) is not None
    ]
    return " ".join([_named(field.annotation), " and ".join(bounds)]).strip()


def _named(annotation: object) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{item}`" for item in inner)
    if origin is Annotated:
        return _named(inner[0])
    if origin in {Union, UnionType}:
        return " or ".join(_named(item) for item in inner if item is not NoneType)
    if origin is tuple:
        return f"list of {_plural(inner[0])}"
    if origin is dict:
        return f"names, each with {_plural(inner[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "a mapping"
    return {
        str: "text",
        Path: "a path",
        int: "whole number",
        float: "number",
        bool: "`true` or `false`",
        SecretStr: "text, secret",
    }[annotation]  # type: ignore[index]


def _plural(annotation: object) -> str:
    words = _named(annotation)
    several = {"text": "texts", "a mapping": "mappings", "whole number": "whole numbers"}
    return "mappings" if words.startswith("a mapping") else several.get(words, words)


def shown(field: FieldInfo) -> str:
    """The default as a file would have it."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    if isinstance(value, BaseModel) or value == {}:
        return "its defaults" if value else "`{}`"
    functions = {getattr(getattr(m, "func", None), "__name__", "") for m in field.metadata}
    if "_duration" in functions:
        return f"`{_duration(value)}`"
    if "_size" in functions:
        whole = value % 2**20 == 0
        return f"`{value // 2**20}MiB`" if whole else f"`{value // 2**10}KiB`"
    return f"`{json.dumps(value)}`" if isinstance(value, bool) else f"`{_yaml(value)}`"


def _yaml(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return '""' if value == "" else str(value)


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= 2 * size or (unit == "s" and seconds >= 1):
            return f"{seconds / size:g}{unit}"
    return f"{seconds * 1000:g}ms" if seconds else "0"


def json_schema() -> str:
    """For editors: every key with its meaning; `${NAME}` may stand for any value."""
    schema = Config.model_json_schema()
    for name, section in sections().items():
        place = schema if section is Config else schema["$defs"][name]
        meanings = described(section)
        for key, value in place["properties"].items():
            value["description"] = meanings[key]
    _allow_variables(schema)
    schema["$defs"]["Variable"] = _VARIABLE
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "embedway.yaml",
        **{key: value for key, value in schema.items() if key != "title"},
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _allow_variables(schema: dict[str, Any]) -> None:
    for part in list(_parts(schema)):
        free = part.get("type") == "string" and not {"pattern", "enum"} & part.keys()
        leaf = part.get("type") in {"string", "number", "integer", "boolean"}
        if leaf and not free and "const" not in part:
            outer: dict[str, Any] = {
                key: part.pop(key) for key in ("description", "default") if key in part
            }
            inner = dict(part)
            part.clear()
            part.update({**outer, "anyOf": [inner, {"$ref": "#/$defs/Variable"}]})


def _parts(schema: object) -> Iterator[dict[str, Any]]:
    """Every schema inside a schema, and then itself."""
    if isinstance(schema, list):
        for item in schema:
            yield from _parts(item)
    if not isinstance(schema, dict):
        return
    for key in ("anyOf", "oneOf", "items", "prefixItems", "additionalProperties"):
        yield from _parts(schema.get(key))
    for key in ("properties", "$defs"):
        yield from _parts(list(schema.get(key, {}).values()))
    yield schema
