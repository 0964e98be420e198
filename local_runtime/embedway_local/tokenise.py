"""Turns texts into token ids, cut at the model's maximum."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from tokenizers import Tokenizer

from embedway_local.batch import take
from embedway_local.error import LocalError, ModelCorrupt, NoRoom
from embedway_local.file import digest
from embedway_local.normaliser import normalise_as

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Encoding

    from embedway_local.checkpoint import Checkpoint

__all__ = ["Tokeniser", "Tokens"]

Tokens: TypeAlias = "array[int]"
"""The ids, or the types, of one text's tokens."""

# The largest in use, of vocabularies of 256,000 tokens, are 35 MB.
_MAX_BYTES = 256 * 1024 * 1024
# What the library is given at once. It makes some hundred bytes of each token, those included that
# are cut, of which we keep four: all of a window's at once would be hundreds of megabytes.
_TEXTS = 256
_CHARACTERS = 64 * 1024


class Tokeniser:
    """A model's tokenizer; safe to use from many threads at once."""

    def __init__(self, checkpoint: Checkpoint, *, typed: bool = True) -> None:
        self._source = checkpoint.tokenizer
        if self._source.stat().st_size > _MAX_BYTES:
            raise ModelCorrupt(f"{self._source}: larger than {_MAX_BYTES} bytes, not a tokenizer")
        with self._corrupt():
            self._tokenizer = Tokenizer.from_file(str(self._source))
        special = self._tokenizer.num_special_tokens_to_add(is_pair=False)
        # The library silently does not cut at all when a text's own tokens get no room.
        if checkpoint.max_tokens <= special:
            raise NoRoom(
                f"max_tokens={checkpoint.max_tokens} leaves no room for a text: "
                f"{special} are special tokens"
            )
        # What tokenizer.json says of padding and length is for its author's batches; ours differ.
        # Only from which end a text is cut is the model's.
        stated, own = checkpoint.tokenizer_config, self._tokenizer.truncation
        side = stated.side or ("right" if own is None else own["direction"])
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(checkpoint.max_tokens, direction=side)
        changes = [normalise_as(self._tokenizer, stated, self._source)]
        self._changes = [change for change in (*changes, side) if change not in ("", "right")]
        self._typed = typed
        self._most = checkpoint.max_tokens
        self._lowercase = checkpoint.lowercase

    @property
    def digest(self) -> str:
        """SHA-256 of tokenizer.json, and of what is done other than it says."""
        own = digest(self._source)
        if not self._changes:
            return own
        return hashlib.sha256("\n".join([own, *self._changes]).encode()).hexdigest()

    def encode(
        self, texts: Sequence[str], *, prompt: str = "", first: int = 0
    ) -> tuple[list[Tokens], int]:
        """
        The ids of each text after `prompt`, special tokens included, and how many texts were cut.

        Raises `TypeError` for anything but strings and `ValueError` for a text that has no UTF-8
        form; both count the texts from `first`.
        """
        _require_texts(texts, "text", first)
        found = [
            (_packed(encoding.ids), bool(encoding.overflowing))
            for encoding in self._encoded(texts, "text", first, prompt=prompt)
        ]
        return [ids for ids, _ in found], sum(cut for _, cut in found)

    def pairs(
        self, query: str, documents: Sequence[str], *, first: int = 0
    ) -> tuple[list[Tokens], list[Tokens], int]:
        """
        The ids and the types of the query with each document, and how many pairs were cut.

        The longer of the two texts is cut first; types are all 0 where the model's tokenizer
        gives none. Raises the errors of `encode`; they count the documents from `first`.
        """
        _require_texts([query], "query")
        _require_texts(documents, "document", first)
        ids: list[Tokens] = []
        types: list[Tokens] = []
        cut = 0
        for encoding in self._encoded(documents, "document", first, query=query):
            item = _packed(encoding.ids)
            ids.append(item)
            types.append(_packed(encoding.type_ids if self._typed else [0] * len(item)))
            cut += bool(encoding.overflowing)
        return ids, types, cut

    def _encoded(
        self,
        texts: Sequence[str],
        noun: str,
        first: int,
        *,
        prompt: str = "",
        query: str | None = None,
    ) -> Iterator[Encoding]:
        """What the library makes of each text, or of the query with it, few of them at a time."""
        place, rest = first, iter(texts)
        before = prompt if query is None else query
        while part := take(rest, _TEXTS, _CHARACTERS, beside=len(before)):
            prepared = [self._cased(prompt + text) for text in part]
            try:
                with self._corrupt():
                    encodings = self._tokenizer.encode_batch_fast(
                        prepared
                        if query is None
                        else [(self._cased(query), text) for text in prepared]
                    )
            except LocalError:
                if query is not None:
                    _require_unicode([query], 0, "query")
                _require_unicode(part, place, noun)
                raise
            yield from encodings
            place += len(part)
            # Not kept while the next are made.
            del encodings

    def _cased(self, text: str) -> str:
        return text.lower() if self._lowercase else text

    def require_room(self) -> None:
        """Raise `ValueError` when a pair's own special tokens leave it no token of each text."""
        special = self._tokenizer.num_special_tokens_to_add(is_pair=True)
        if self._most < special + 2:
            raise NoRoom(
                f"max_tokens={self._most} leaves no room for a pair: {special} are special tokens"
            )

    @contextmanager
    def _corrupt(self) -> Iterator[None]:
        """Whatever the library raises here is the file's fault, once the texts are known good."""
        try:
            yield
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        # Of a damaged file it raises bare Exception, and BaseException where Rust panicked.
        except BaseException as error:
            raise ModelCorrupt(f"{self._source}: {error}") from error


def _packed(numbers: list[int]) -> Tokens:
    """In 4 bytes each, where a list takes 40."""
    try:
        return array("i", numbers)
    except OverflowError as error:
        raise ModelCorrupt(f"the tokenizer made a token of no vocabulary ({error})") from error


def _require_texts(texts: Sequence[str], noun: str, first: int = 0) -> None:
    for index, text in enumerate(texts, first):
        # Asked, because the library takes a pair of strings for two sentences.
        if not isinstance(text, str):
            raise TypeError(f"{noun} {index} is of type {type(text).__name__}, not a string")


def _require_unicode(texts: Sequence[str], first: int, noun: str = "text") -> None:
    for index, text in enumerate(texts, first):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{noun} {index} has a lone surrogate at character {error.start}, "
                "which is no Unicode text; decode its source with errors='replace'"
            ) from None
