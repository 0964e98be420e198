"""What one caller used of one model on one day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, timedelta
from typing import Literal, TypeAlias

__all__ = ["COUNTS", "By", "Row", "chosen", "iso_day", "summed"]

By: TypeAlias = Literal["key", "model", "day"]

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Row:
    """Days are of UTC, as `2026-01-31`; what a row is summed over is empty in it."""

    day: str
    key: str
    model: str
    requests: int = 0
    """Those that were let in."""
    texts: int = 0
    tokens: int = 0
    errors: int = 0
    """Of the requests, those that failed, or were given up by the caller."""
    cached: int = 0
    """Of the texts, those that the cache knew."""
    limited: int = 0
    """Requests that were refused by a limit, and are not among the others."""

    def facts(self, by: Sequence[By]) -> dict[str, object]:
        """As JSON has it, without what it is summed over."""
        whole = asdict(self)
        return {name: whole[name] for name in (*by, *COUNTS)}


COUNTS = tuple(field.name for field in fields(Row))[3:]


def summed(rows: Iterable[Row], by: Sequence[By]) -> list[Row]:
    """One row for each combination of what is asked for, in order."""
    sums: dict[tuple[str, str, str], list[int]] = {}
    for row in rows:
        place = (
            row.day if "day" in by else "",
            row.key if "key" in by else "",
            row.model if "model" in by else "",
        )
        counts = [getattr(row, name) for name in COUNTS]
        sums[place] = [
            a + b for a, b in zip(sums.get(place, [0] * len(counts)), counts, strict=True)
        ]
    return [Row(*place, *counts) for place, counts in sorted(sums.items())]


def chosen(rows: Iterable[Row], *, key: str | None, model: str | None) -> Iterator[Row]:
    """Those of one key, of one model, or of both; None is all."""
    return (row for row in rows if key in {None, row.key} and model in {None, row.model})


def iso_day(day: int) -> str:
    """Of days since 1970."""
    return (_EPOCH + timedelta(days=day)).isoformat()
