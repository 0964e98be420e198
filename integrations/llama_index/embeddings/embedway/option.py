"""Which other names the keywords have, and what is said to those that mean nothing here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, TypedDict

if TYPE_CHECKING:
    import httpx
    from pydantic import SecretStr
    from pydantic.fields import FieldInfo

__all__ = ["Aliases", "EmbeddingAliases", "understood"]


class Aliases(TypedDict, total=False):
    """Other names of keywords that whatever talks to a server has."""

    model_name: str | None
    api_base: str | None
    auth_token: str | SecretStr | None
    embed_batch_size: int | None
    num_workers: int | None
    request_timeout: float
    headers: Mapping[str, str] | None
    extra_headers: Mapping[str, str] | None
    async_http_client: httpx.AsyncClient | None


class EmbeddingAliases(Aliases, total=False):
    """Those that an embedding has beside them."""

    query_instruction: str | None
    text_instruction: str | None


# As users bring them along: of OpenAIEmbedding and OpenAILikeEmbedding, of TextEmbeddingsInference,
# of OCIDataScienceEmbedding, of CohereRerank, and of our own class for LangChain.
_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "api_base": "base_url",
        "auth_token": "api_key",
        "request_timeout": "timeout",
        "headers": "default_headers",
        "extra_headers": "default_headers",
        "async_http_client": "http_async_client",
        "query_instruction": "query_prompt",
        "text_instruction": "document_prompt",
    }
)

# Of one setting, our name and the framework's; a class has a field of one of them.
_TWINS = (
    ("model", "model_name"),
    ("batch_size", "embed_batch_size"),
    ("max_concurrency", "num_workers"),
)

# What is said with these values is what happens anyhow.
_NOTHING_NEW: Mapping[str, tuple[object, ...]] = MappingProxyType(
    {
        "additional_kwargs": ({},),
        "api_version": ("",),
        "encoding_format": ("float", "base64"),
        "reuse_client": (True,),
    }
)

_DIRECT = "it belongs to direct(), which signs and calls one deployment without a gateway"
_SERVED = "it is set where the model is served"

_ADVICE: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("url", "engine", "credentials", "platform", "invoke"), _DIRECT),
        **dict.fromkeys(("resource_group", "pooling", "path", "served_model"), _DIRECT),
        **dict.fromkeys(("endpoint", "auth", "service_endpoint", "compartment_id"), _DIRECT),
        **dict.fromkeys(("truncate_text", "truncate", "normalize", "max_length"), _SERVED),
        **dict.fromkeys(("device", "backend", "trust_remote_code"), _SERVED),
        "additional_kwargs": "no further fields are sent; those that there are have keywords",
        "api_version": "it is for Azure's own service; leave it out",
        "cache_folder": "models are in the store that EMBEDWAY_HOME names",
        "encoding_format": "vectors travel as base64 and arrive as floats; leave it out",
        "input_type": "texts and queries are told apart by the method that is called",
        "reuse_client": "connections are always reused; they are safe between threads",
        "show_progress": "give it to the call that embeds",
    }
)


def understood(
    own: Mapping[str, object],
    others: Mapping[str, object],
    *,
    known: Mapping[str, FieldInfo],
    owner: str,
) -> dict[str, Any]:
    """
    The keywords, ours and `others`, under the names of the fields in `known`; `owner` is the class.

    What is None, or is the default anyhow, was not given. What LlamaIndex calls an instruction is
    a prompt that one space ends. Raises `TypeError` for a keyword that is not understood,
    `ValueError` for one that is given twice, in two ways; both say what to do instead, and never a
    value.
    """
    read: dict[str, object] = {}
    names: dict[str, str] = {}
    for name, given in [*own.items(), *others.items()]:
        if given in _NOTHING_NEW.get(name, ()):
            continue
        field = _field(name, known)
        if field not in known:
            if given is None and name in _ADVICE:
                continue
            _refuse(name, known, owner)
        value = _prompt(given) if name.endswith("_instruction") else given
        if value is None or value == known[field].default:
            continue
        if field in names and read[field] != value:
            raise ValueError(f"{names[field]}= and {name}= are one setting of {owner}; give one")
        names[field] = name
        read[field] = value
    return read


def _prompt(instruction: object) -> object:
    whole = instruction.strip() if isinstance(instruction, str) else instruction
    return f"{whole} " if whole else whole


def _field(name: str, known: Collection[str]) -> str:
    if name in known:
        return name
    twin = next((one for pair in _TWINS if name in pair for one in pair if one in known), name)
    return _ALIASES.get(name, twin)


def _refuse(name: str, known: Collection[str], owner: str) -> NoReturn:
    if name in _ADVICE:
        raise TypeError(f"{name}= is no keyword of {owner}: {_ADVICE[name]}")
    # Imported here: a class that is used rightly never needs it.
    from difflib import get_close_matches

    others = [*_ALIASES, *(one for pair in _TWINS for one in pair)]
    names = [*known, *(one for one in others if _field(one, known) in known)]
    near = get_close_matches(name, names, 1)
    guess = f"; did you mean {near[0]}=?" if near else ""
    raise TypeError(f"{name}= is no keyword of {owner}{guess}")
