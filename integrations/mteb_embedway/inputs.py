"""What does MTEB ask? Its batches and its old lists as texts, and as queries or documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedway_upstream import InputType

__all__ = ["input_type_of", "passages_of", "texts_of"]

_KINDS: tuple[tuple[str, InputType], ...] = (
    ("query", "query"),
    ("document", "document"),
    ("passage", "document"),
    ("corpus", "document"),
)


def input_type_of(prompt_type: object, prompt_name: str | None) -> InputType | None:
    """
    What MTEB's `PromptType` says, or a prompt's name as sentence-transformers has it; None for
    texts that are neither, as of tasks without queries.
    """
    # An enumeration of strings, whose members changed their names over the versions.
    told = getattr(prompt_type, "value", prompt_type) or prompt_name
    if told is None:
        return None
    for name, kind in _KINDS:
        # `SciFact-query` is a task's own prompt for its queries.
        if told == name or str(told).endswith(f"-{name}"):
            return kind
    if prompt_type is not None:
        raise ValueError(f"prompt_type={told!r}: queries and documents are known")
    return None


def texts_of(inputs: Iterable[object]) -> list[str]:
    """From texts, or from batches that hold them under `text`."""
    if isinstance(inputs, str):
        raise TypeError("one string was given; a list of texts is wanted")
    if isinstance(inputs, Mapping):
        # Its keys would be taken for texts, such as BEIR's ids of queries.
        raise TypeError("a mapping was given; a list of texts, or of batches, is wanted")
    found: list[str] = []
    for one in inputs:
        if isinstance(one, str):
            found.append(one)
        elif isinstance(one, Mapping):
            found += _batch(one)
        else:
            raise TypeError(f"{type(one).__name__} is neither a text nor one of MTEB's batches")
    return found


def passages_of(
    corpus: Sequence[str | Mapping[str, str]] | Mapping[str, Sequence[str]],
) -> list[str]:
    """From texts, from passages with `title` and `text`, or from columns of these."""
    if isinstance(corpus, Mapping):
        titles = corpus.get("title") or [""] * len(corpus["text"])
        return [_passage(title, text) for title, text in zip(titles, corpus["text"], strict=True)]
    return [
        one if isinstance(one, str) else _passage(one.get("title"), one["text"]) for one in corpus
    ]


def _passage(title: object, text: object) -> str:
    for part in (title or "", text):
        if not isinstance(part, str):
            raise TypeError(f"{type(part).__name__} as the title or the text of a passage")
    return f"{title or ''} {text}".strip()


def _batch(batch: Mapping[object, object]) -> list[str]:
    texts = batch.get("text")
    others = sorted(str(name) for name in ("image", "audio", "video") if name in batch)
    if others:
        raise TypeError(f"the task has {', '.join(others)}, and only texts are embedded here")
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise TypeError("a batch without a list of texts under 'text'")
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"{type(text).__name__} among the texts of a batch")
    return list(texts)
