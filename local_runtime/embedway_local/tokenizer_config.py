"""Reads what tokenizer_config.json says against tokenizer.json, as transformers 4 and 5 read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from embedway_local.error import ModelCorrupt

if TYPE_CHECKING:
    from embedway_local.setting import Settings

__all__ = ["Casing", "Side", "TokenizerConfig", "read_tokenizer_config"]

Side: TypeAlias = Literal["left", "right"]

# Tokenizers that transformers makes anew from these settings, whatever tokenizer.json says.
_BERT = {"BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer"}
_MPNET = "MPNetTokenizer"
# What a folder that names no class is read with.
_USUAL = {
    "bert": "BertTokenizer",
    "distilbert": "DistilBertTokenizer",
    "electra": "ElectraTokenizer",
    "mpnet": _MPNET,
    "nomic_bert": "BertTokenizer",
}
# Of which transformers 5 does not believe the class that is named.
_DISBELIEVED = {"modernbert"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Casing:
    """What BERT's normaliser does to a text, besides cleaning it."""

    lowercase: bool
    strip_accents: bool
    chinese: bool
    """Is each Chinese character a word of its own?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerConfig:
    """What holds rather than what tokenizer.json says."""

    casing: Casing | None = None
    """None where tokenizer.json decides alone."""
    doubtful: frozenset[str] = frozenset()
    """The fields of `casing` that the versions of transformers do not read alike."""
    side: Side | None = None
    """Where a text is cut that is too long; None where tokenizer.json decides."""


def read_tokenizer_config(settings: Settings, config: Settings) -> TokenizerConfig:
    """
    Read the two files; without a tokenizer_config.json, tokenizer.json is taken as it is.

    Raises `ModelCorrupt` for what is no flag and no side.
    """
    if not settings.values:
        return TokenizerConfig()
    side = _side(settings)
    kind = config.values.get("model_type")
    usual = _USUAL.get(kind, "") if isinstance(kind, str) else ""
    stated = settings.values.get("tokenizer_class") or config.values.get("tokenizer_class") or usual
    name = str(stated).removesuffix("Fast")
    if name not in _BERT and name != _MPNET:
        return TokenizerConfig(side=side)
    lowercase = settings.flag("do_lower_case", default=True)
    # Where nothing is said, accents are stripped of what is lower-cased.
    silent = settings.values.get("strip_accents") is None
    casing = Casing(
        lowercase=lowercase,
        strip_accents=lowercase if silent else settings.flag("strip_accents"),
        chinese=settings.flag("tokenize_chinese_chars", default=True),
    )
    doubtful = {"chinese"} if name == _MPNET else set[str]()
    if kind in _DISBELIEVED:
        doubtful = {"lowercase", "strip_accents", "chinese"}
    return TokenizerConfig(casing=casing, doubtful=frozenset(doubtful), side=side)


def _side(settings: Settings) -> Side | None:
    stated = settings.values.get("truncation_side")
    for known in get_args(Side):
        if stated == known:
            return known  # type: ignore[no-any-return]
    if stated is not None:
        raise ModelCorrupt(f'{settings.source}: \'truncation_side\' is not "left" or "right"')
    return None
