"""Guesses how many tokens texts have, for engines that count none."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from embedway_upstream.embedding import Usage

__all__ = ["Told", "counted", "estimate"]

# OpenAI's rule of thumb for English ("What are tokens and how to count them?", help.openai.com).
# Other languages and short words have fewer characters a token, so that this is rather too low.
_CHARACTERS_A_TOKEN = 4


class Told(msgspec.Struct):
    """The `usage` of a reply in OpenAI's form."""

    prompt_tokens: int | None = 0
    total_tokens: int | None = 0


def counted(told: Told | None) -> Usage:
    """What was told; zeros where nothing was, or nothing that can be."""
    told = told or Told()
    prompt = max(0, told.prompt_tokens or told.total_tokens or 0)
    return Usage(prompt, max(prompt, told.total_tokens or 0))


def estimate(texts: Iterable[str]) -> Usage:
    """A token for every four characters of a text, rounded up, marked as an estimate."""
    tokens = sum(-(-len(text) // _CHARACTERS_A_TOKEN) for text in texts)
    return Usage(tokens, tokens, estimated=True)
