"""`embedway usage`: shows who used how much of which model on which day."""

from __future__ import annotations

import asyncio
import csv
import sys
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from embedway_gateway.cli.console import say, terminal

if TYPE_CHECKING:
    from embedway_gateway.usage.book import Book
    from embedway_gateway.usage.row import By, Row

__all__ = ["usage"]

_FILE = Path("usage.sqlite")


def usage(
    *,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="The configuration that says where usage is kept."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Or the SQLite file. By default this one.")
    ] = None,
    by: Annotated[
        str, typer.Option(help="What to tell apart: any of `key,model,day`.")
    ] = "key,model,day",
    key: Annotated[str | None, typer.Option(help="Of this key only.")] = None,
    model: Annotated[str | None, typer.Option(help="Of this model only.")] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The first day, UTC.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The last day, UTC.")
    ] = None,
    form: Annotated[
        Literal["table", "csv", "json"], typer.Option("--format", help="How to print it.")
    ] = "table",
) -> None:
    """
    Show what was used, by key, model and day.

    Examples:
        embedway usage --by key --since 2026-11-01

        embedway usage --config embedway.yaml --format csv

    """
    from embedway_gateway.usage.row import chosen, summed

    places = _places(by)
    book = _book(config, file)
    rows = asyncio.run(_read(book, since and since.date(), until and until.date()))
    _print(summed(chosen(rows, key=key, model=model), places), places, form)


def _places(text: str) -> list[By]:
    found: list[By] = []
    for word in text.split(","):
        match word.strip():
            case "key" | "model" | "day" as place:
                found.append(place)
            case other:
                raise typer.BadParameter(f"--by takes key, model and day, not {other!r}")
    return found


def _book(config: Path | None, file: Path | None) -> Book:
    from embedway_gateway.usage.book import BookUnavailable
    from embedway_gateway.usage.sqlite import SQLiteBook

    if config is None or file is not None:
        return SQLiteBook(file or _FILE)
    from embedway_gateway.config.load import load_config
    from embedway_gateway.config.usage import make_book, usage_of
    from embedway_gateway.metric import Metrics

    whole = load_config(config)
    kept = usage_of(whole)
    if kept is None:
        raise BookUnavailable(
            f"{config} keeps no usage: there are no callers to tell apart without `server.keys`"
        )
    return make_book(kept, whole.server.keys, Metrics())


async def _read(book: Book, since: date | None, until: date | None) -> list[Row]:
    try:
        return await book.read(since=since, until=until)
    finally:
        await book.close()


def _print(rows: Sequence[Row], places: Sequence[By], form: str) -> None:
    from embedway_gateway.usage.row import COUNTS

    columns = [*places, *COUNTS]
    facts = [row.facts(places) for row in rows]
    if form == "json":
        import msgspec

        typer.echo(msgspec.json.format(msgspec.json.encode(facts)).decode())
        return
    if form == "csv":
        writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _safe(value) for name, value in fact.items()} for fact in facts)
        return
    if not facts:
        say("Nothing was used.")
        return
    from rich.table import Table

    table = Table(box=None)
    for name in columns:
        table.add_column(name, justify="right" if name in COUNTS else "left")
    for fact in facts:
        table.add_row(*(f"{one:,}" if isinstance(one, int) else str(one) for one in fact.values()))
    terminal().print(table, markup=False)


def _safe(value: object) -> object:
    """Not a formula, whatever a token's subject is: spreadsheets compute what looks like one."""
    text = str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else value
