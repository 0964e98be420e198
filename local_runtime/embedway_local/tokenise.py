"""Turns texts into token ids, cut at the model's maximum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from embedway_local.error import ModelCorrupt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embedway_local.checkpoint import Checkpoint

__all__ = ["Tokeniser"]


class Tokeniser:
    """A model's tokenizer; safe to use from many threads at once."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(checkpoint.tokenizer))
        except Exception as error:  # the library raises bare Exception for a damaged file
            raise ModelCorrupt(f"{checkpoint.tokenizer}: {error}") from error
        # What tokenizer.json says of padding and length is for its author's batches; ours differ.
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(checkpoint.max_tokens)
        self._lowercase = checkpoint.lowercase

    def encode(self, texts: Sequence[str]) -> tuple[list[list[int]], int]:
        """
        The ids of each text, special tokens included, and how many texts were cut.

        Raises `ValueError` for a text that has no UTF-8 form.
        """
        if self._lowercase:
            texts = [text.lower() for text in texts]
        try:
            encodings = self._tokenizer.encode_batch_fast(list(texts))
        except (TypeError, UnicodeEncodeError):
            for index, text in enumerate(texts):
                _require_unicode(index, text)
            raise
        cut = sum(1 for encoding in encodings if encoding.overflowing)
        return [encoding.ids for encoding in encodings], cut


def _require_unicode(index: int, text: object) -> None:
    if not isinstance(text, str):
        raise TypeError(f"text {index} is a {type(text).__name__}, not a string")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"text {index} has a lone surrogate at character {error.start}, "
            "which is no Unicode text; decode its source with errors='replace'"
        ) from None
