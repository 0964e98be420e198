"""Reads the options of a server's command line, however they were written down."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

__all__ = ["Options", "read_options", "split"]

Options = Mapping[str, tuple[str, ...]]
"""`served-model-name` → its values; an option without one has none."""


def split(line: str) -> list[str]:
    """The words of a line, as a shell would split them."""
    try:
        return shlex.split(line)
    except ValueError:  # a quotation mark that is never closed
        return line.split()


def read_options(words: Iterable[str]) -> Options:
    """
    Every `--option value…`, `--option=value` and `--option`; underscores read as dashes, as vLLM
    reads them. The last of several wins.
    """
    options: dict[str, tuple[str, ...]] = {}
    current = ""
    for word in words:
        if word.startswith("--"):
            current, equals, value = word[2:].partition("=")
            current = current.lower().replace("_", "-")
            options[current] = (value,) if equals else ()
        elif current:
            options[current] = (*options[current], word)
    return options
