"""Sets a tokenizer's normaliser to what the model's settings say."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from tokenizers.normalizers import BertNormalizer

from embedway_local.error import ModelUnsupported
from embedway_local.tokenizer_config import Casing

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer

    from embedway_local.tokenizer_config import TokenizerConfig

__all__ = ["normalise_as"]


def normalise_as(tokenizer: Tokenizer, stated: TokenizerConfig, source: Path) -> str:
    """
    Set it, where it is BERT's and of another casing; returns what was changed, or "".

    Raises `ModelUnsupported` where the versions of transformers do not agree on what holds.
    """
    own, casing = tokenizer.normalizer, stated.casing
    if casing is None or not isinstance(own, BertNormalizer):
        return ""
    strip = own.lowercase if own.strip_accents is None else own.strip_accents
    before = Casing(lowercase=own.lowercase, strip_accents=strip, chinese=own.handle_chinese_chars)
    wanted, had = asdict(casing), asdict(before)
    changed = {key: value for key, value in wanted.items() if had[key] != value}
    if doubtful := sorted(stated.doubtful & changed.keys()):
        raise ModelUnsupported(
            f"{source}: its normaliser and tokenizer_config.json do not agree ({doubtful[0]}), and "
            "which of them holds depends on the version of transformers; make both say the same"
        )
    if changed:
        tokenizer.normalizer = BertNormalizer(
            clean_text=own.clean_text,
            handle_chinese_chars=casing.chinese,
            strip_accents=casing.strip_accents,
            lowercase=casing.lowercase,
        )
    return " ".join(f"{key}={value}" for key, value in sorted(changed.items()))
