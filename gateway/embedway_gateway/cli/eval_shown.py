"""Shows what `embedway eval retrieval` found: a table, and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from embedway_gateway.cli.console import say, terminal

if TYPE_CHECKING:
    from embedway_gateway.evaluation.report import Report, Result

__all__ = ["as_json", "show"]

_CHANCE = 0.05
_LEAST = 0.001


def as_json(told: Report, settings: Mapping[str, object]) -> str:
    """Without any text; values of single queries are in the file of `--per-query`."""
    endpoints = [asdict(result) for result in told.results]
    data = {
        "passages": told.passages,
        "queries": len(told.queries),
        "judgements": told.judgements,
    }
    found = {"data": data, **settings, "endpoints": endpoints, "notes": list(told.notes)}
    return json.dumps(found, indent=2, ensure_ascii=False)


def show(told: Report) -> None:
    """A column an endpoint, and one more for the difference to the first."""
    from rich.table import Table
    from rich.text import Text

    say(
        f"{told.passages:,} passages, {len(told.queries):,} queries, {told.judgements:,} judgements"
    )
    table = Table("", box=None, pad_edge=False)
    for number, result in enumerate(told.results):
        table.add_column(Text(result.label), justify="right", overflow="fold")
        if number:
            table.add_column("difference", justify="right")
    for name in told.values:
        cells = [name]
        for number, result in enumerate(told.results):
            one = result.scores[name]
            cells.append(f"{one.mean:.4f} [{one.low:.3f}, {one.high:.3f}]")
            if number:
                cells.append(_difference(result, name))
        table.add_row(*cells)
    console = terminal()
    console.print(table)
    first = next(iter(told.values))
    for result in told.results[1:]:
        console.print(Text(_verdict(result, told.results[0], first)), soft_wrap=True)
    for note in told.notes:
        console.print(Text(f"Note: {note}", "yellow"), soft_wrap=True)


def _difference(result: Result, name: str) -> str:
    found = result.against_first[name]
    # As the eye takes it: a star is more than chance.
    star = "*" if found.p < _CHANCE else " "
    return f"{found.mean.mean:+.4f}{star} {_chance(found.p)}"


def _chance(p: float) -> str:
    return "p<0.001" if p < _LEAST else f"p={p:.3f}"


def _verdict(result: Result, first: Result, name: str) -> str:
    """The one sentence that is read, on the first measure."""
    found = result.against_first[name]
    counts = f"better in {found.better}, worse in {found.worse}, equal in {found.equal} queries"
    said = f"{name}: {result.label} against {first.label}: {counts}"
    if found.p >= _CHANCE:
        return f"{said}; the difference may be chance ({_chance(found.p)})"
    more = "better" if found.mean.mean > 0 else "worse"
    return f"{said}; {more} by more than chance ({_chance(found.p)})"
