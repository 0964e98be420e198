"""Reads how sentence-transformers runs a model's encoder: its maximum, case, and arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedway_local.error import ModelCorrupt, ModelUnsupported
from embedway_local.setting import Settings, read_settings

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SENTENCE_FILES", "read_sentence"]

SENTENCE_FILES = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)
"""Where they may be; the first that states anything is what holds."""

# What they hand to the model, its settings and its tokenizer, under the names of both times.
_ARGUMENTS = (
    "model_args",
    "model_kwargs",
    "config_args",
    "config_kwargs",
    "tokenizer_args",
    "processor_kwargs",
)
# Of these, what changes how a model is loaded or how fast it runs, and not what it computes.
_HARMLESS = {
    "add_pooling_layer",
    "attn_implementation",
    "cache_dir",
    "clean_up_tokenization_spaces",
    "code_revision",
    "device_map",
    "dtype",
    "local_files_only",
    "low_cpu_mem_usage",
    "pad_to_multiple_of",
    "padding",
    "padding_side",
    "return_tensors",
    "revision",
    "token",
    "torch_dtype",
    "trust_remote_code",
    "unpad_inputs",
    "use_cache",
    "use_fast",
    "use_memory_efficient_attention",
    "use_safetensors",
}
# Of models with a vector for each token.
_OTHERWISE = ("query_length", "document_length", "query_expansion")


def read_sentence(folder: Path) -> Settings:
    """
    The settings, empty where there are none.

    Raises `ModelUnsupported` for arguments that may change a vector.
    """
    for name in SENTENCE_FILES:
        settings = read_settings(folder / name)
        if settings.values:
            _require_plain(settings)
            return settings
    return Settings({}, str(folder / SENTENCE_FILES[0]))


def _require_plain(settings: Settings) -> None:
    calls = _stated(settings, "processing_kwargs")
    for stated in (*(_stated(settings, key) for key in _ARGUMENTS), *_of_texts(calls)):
        if changing := sorted(set(stated.values) - _HARMLESS):
            raise ModelUnsupported(
                f"{stated.source}: {', '.join(changing)[:200]}: such arguments are not followed; "
                "say it in the model's config.json or tokenizer_config.json and leave it out here"
            )
    for key in _OTHERWISE:
        if settings.values.get(key) is not None:
            raise ModelUnsupported(f"{settings.source}: {key} is not supported")


def _of_texts(calls: Settings) -> list[Settings]:
    """Of the arguments of each call, those that a text's tokens depend on."""
    return [_stated(calls, kind) for kind in ("common", "text")]


def _stated(settings: Settings, key: str) -> Settings:
    value = settings.values.get(key)
    if value is not None and not isinstance(value, dict):
        raise ModelCorrupt(f"{settings.source}: {key!r} is not an object")
    return Settings(value or {}, f"{settings.source}: {key}")
