"""How much may be used of something; None is without limit."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MOST", "Allowance"]

MOST = 1_000_000_000
"""What is beyond is a mistake: no limit is written by leaving it out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a minute allows, and how many requests may be under way at once."""

    rpm: int | None = None
    """Requests a minute."""
    tpm: int | None = None
    """Tokens a minute."""
    texts_per_minute: int | None = None
    max_concurrency: int | None = None
