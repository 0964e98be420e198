"""Which keywords of the neighbouring classes are understood, and what is said to the others."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, NoReturn

from pydantic import BeforeValidator, SecretStr

from embedway_client import environment

__all__ = ["APIKey", "BaseURL", "understood"]

BaseURL = Annotated[
    str, BeforeValidator(lambda value: environment.base_url() if value is None else value)
]
"""None is what the environment says."""
APIKey = Annotated[
    SecretStr | None,
    BeforeValidator(lambda value: environment.api_key() if value is None else value),
]
"""The same."""

# Other names, as users bring them along: of OpenAIEmbeddings, CohereRerank and ChatOpenAI, of
# LiteLLM's classes, of OCIGenAIEmbeddings, and of the classes of Hugging Face.
_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "openai_api_base": "base_url",
        "api_base": "base_url",
        "openai_api_key": "api_key",
        "cohere_api_key": "api_key",
        "model_name": "model",
        "model_id": "model",
        "request_timeout": "timeout",
        "chunk_size": "batch_size",
        "embed_batch_size": "batch_size",
        "headers": "default_headers",
        "extra_headers": "default_headers",
        "output_dimensions": "dimensions",
        "show_progress": "show_progress_bar",
        "query_instruction": "query_prompt",
        "embed_instruction": "document_prompt",
        "text_instruction": "document_prompt",
    }
)

# What is said with these values is what happens anyhow.
_NOTHING_NEW: Mapping[str, tuple[object, ...]] = MappingProxyType(
    {
        "check_embedding_ctx_length": (False,),
        "tiktoken_enabled": (False,),
        "skip_empty": (False,),
        "encoding_format": ("float", "base64"),
        "model_kwargs": ({},),
    }
)

_TEXTS = (
    "texts are sent as texts and whole: no tokenizer is needed, and nothing is split; leave it out"
)
_DIRECT = "it belongs to direct(), which signs and calls one deployment without a gateway"
_SERVED = "it is set where the model is served"
_PROMPTS = "give query_prompt= and document_prompt="
_PROXY = "a proxy is taken from HTTPS_PROXY, or from http_client= and http_async_client="
_OPENAI = "it is for OpenAI's or Azure's own service; leave it out"
_WAITS = "a server's Retry-After is followed, else the waits grow from 0.5 to 8 s; leave it out"
_FIELDS = "no further fields are sent; those that there are have keywords, such as dimensions="

_ADVICE: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("check_embedding_ctx_length", "embedding_ctx_length"), _TEXTS),
        **dict.fromkeys(("tiktoken_enabled", "tiktoken_model_name"), _TEXTS),
        **dict.fromkeys(("allowed_special", "disallowed_special"), _TEXTS),
        **dict.fromkeys(("url", "engine", "credentials", "platform", "invoke"), _DIRECT),
        **dict.fromkeys(("resource_group", "pooling", "path", "served_model"), _DIRECT),
        **dict.fromkeys(("endpoint", "service_endpoint", "auth", "auth_type"), _DIRECT),
        **dict.fromkeys(("auth_profile", "auth_file_location", "compartment_id"), _DIRECT),
        **dict.fromkeys(("truncate", "truncate_text", "normalize", "max_seq_length"), _SERVED),
        **dict.fromkeys(("query_encode_kwargs", "encode_kwargs", "prompts"), _PROMPTS),
        **dict.fromkeys(("openai_proxy", "proxies"), _PROXY),
        **dict.fromkeys(("openai_api_type", "openai_api_version", "deployment"), _OPENAI),
        **dict.fromkeys(("openai_organization", "organization"), _OPENAI),
        **dict.fromkeys(("retry_min_seconds", "retry_max_seconds"), _WAITS),
        **dict.fromkeys(("model_kwargs", "extra_body", "endpoint_kwargs"), _FIELDS),
        **dict.fromkeys(
            ("default_query", "extra_query"), "give http_client=httpx.Client(params=…)"
        ),
        "encoding_format": "vectors travel as base64 and arrive as floats; leave it out",
        "skip_empty": "an empty text is embedded like any other; take it out before",
        "input_type": "embed_documents and embed_query each say what their texts are",
        "cache_folder": "models are in the store that EMBEDWAY_HOME names",
        **dict.fromkeys(
            ("callbacks", "callback_manager"), "give on_usage=, or use collect_usage()"
        ),
    }
)


def understood(
    given: Mapping[str, object], *, known: Collection[str], owner: str
) -> dict[str, object]:
    """
    The keywords under our own names, of which `known` are possible; `owner` is the class.

    Raises `ValueError` for one that is given under two names and for one that is not understood;
    it says what to do instead, and never a value.
    """
    read: dict[str, object] = {}
    names: dict[str, str] = {}
    for name, value in _needed(given):
        own = name if name in known else _ALIASES.get(name, name)
        if own not in known:
            _refuse(name, known, owner)
        if own in names and value is not None:
            raise ValueError(f"{names[own]}= and {name}= are one setting of {owner}; give one")
        names[own] = name
        read[own] = value
    return read


def _needed(given: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for name, value in given.items():
        # None is how the neighbours say that something was not given.
        foreign = name in _ALIASES or name in _ADVICE
        if not (foreign and value is None) and value not in _NOTHING_NEW.get(name, ()):
            yield name, value


def _refuse(name: str, known: Collection[str], owner: str) -> NoReturn:
    if name in _ADVICE:
        raise ValueError(f"{name}= is not understood by {owner} as it is given: {_ADVICE[name]}")
    # Imported here: a class that is used rightly never needs it.
    from difflib import get_close_matches

    near = get_close_matches(name, [*known, *(a for a, own in _ALIASES.items() if own in known)], 1)
    guess = f"; did you mean {near[0]}=?" if near else ""
    raise ValueError(f"{name}= is no keyword of {owner}{guess}")
