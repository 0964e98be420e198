"""Real prose without a download: paragraphs of the documentation that ships with Python."""

from __future__ import annotations

import random
import re
from pathlib import Path
from pydoc_data.topics import topics

from tokenizers import Tokenizer

__all__ = ["passages"]


def passages(tokenizer: Path, count: int) -> list[str]:
    """
    `count` different paragraphs of 5 to 256 tokens, special ones included, in a fixed random order.

    `tokenizer` is a model's tokenizer.json. Raises `ValueError` when there are not so many.
    """
    reader = Tokenizer.from_file(str(tokenizer))
    reader.no_truncation()
    reader.no_padding()
    paragraphs = dict.fromkeys(
        " ".join(paragraph.split())
        for name in sorted(topics)
        for paragraph in re.split(r"\n\s*\n", topics[name])
    )
    lengths = [len(item.ids) for item in reader.encode_batch_fast(list(paragraphs))]
    found = [text for text, length in zip(paragraphs, lengths, strict=True) if 5 <= length <= 256]
    if len(found) < count:
        raise ValueError(f"this Python's documentation has only {len(found)} such paragraphs")
    random.Random(7).shuffle(found)
    return found[:count]
