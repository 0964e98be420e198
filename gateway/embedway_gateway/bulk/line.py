"""Reads lines of UTF-8 as text files mean them: only a line feed ends one."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from embedway_gateway.bulk.error import BadInput

__all__ = ["MAX_LINE_BYTES", "count_lines", "lines", "without_end"]

# Far above any text; a binary file given by mistake stops here instead of filling the memory.
MAX_LINE_BYTES = 64 * 1024 * 1024

_BLOCK = 1024 * 1024


def lines(file: BinaryIO, name: str) -> Iterator[tuple[int, str]]:
    """
    Each line with its number, from 1, its end included; a byte order mark is dropped.

    `str.splitlines` and text mode would also cut at U+2028, U+0085 or a lone carriage return,
    and shift every later row. Raises `BadInput` for what is not UTF-8, or longer than 64 MiB.
    """
    number = 0
    while raw := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(raw) > MAX_LINE_BYTES:
            raise BadInput(f"{name}:{number}: longer than 64 MiB; is this a file of texts?")
        if number == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            raise BadInput(
                f"{name}:{number}: not UTF-8 (byte 0x{raw[error.start]:02x} at position "
                f"{error.start + 1}); convert the file first, for example with "
                "`iconv -f latin1 -t utf-8`"
            ) from None
        if text:
            yield number, text


def without_end(line: str) -> str:
    """The line without its line feed, and a carriage return before it."""
    return line.removesuffix("\n").removesuffix("\r")


def count_lines(file: BinaryIO) -> int:
    """How many lines there are; a last one without an end counts. Reads about 3 GB a second."""
    count = 0
    last = b"\n"
    while block := file.read(_BLOCK):
        count += block.count(b"\n")
        last = block[-1:]
    return count + (last != b"\n")
