"""`embedway bench`: how fast are endpoints, and how long do callers wait?"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedway_gateway.cli.compare import waiting
from embedway_gateway.cli.console import fail, say, terminal
from embedway_gateway.cli.endpoint import (
    ENDPOINTS,
    Config,
    Engine,
    TextField,
    read_texts,
    refused_as,
)

if TYPE_CHECKING:
    from embedway_gateway.bench.load import Load
    from embedway_gateway.bench.tally import Result, Tally

__all__ = ["bench"]

_ROUNDS = 6
_ERRORS = 5
_MOST_TEXTS = 100_000

# Name, field and format.
_LINES = (
    ("texts/s", "texts_per_second", ",.1f"),
    ("tokens/s", "tokens_per_second", ",.0f"),
    ("requests/s", "requests_per_second", ",.1f"),
    ("mean latency, ms", "mean_ms", ",.2f"),
    ("median", "median_ms", ",.2f"),
    ("p95", "p95_ms", ",.2f"),
    ("p99", "p99_ms", ",.2f"),
    ("longest", "max_ms", ",.2f"),
    ("tokens", "tokens", ",d"),
    ("tokens a text", "mean_length", ",.1f"),
    ("generator, ms a request", "own_ms_per_request", ",.3f"),
)
_WITHOUT_RATIO = ("tokens", "mean_length", "own_ms_per_request")


def bench(
    endpoints: Annotated[list[str], typer.Argument(metavar="ENDPOINT...")],
    *,
    texts: Annotated[
        str | None,
        typer.Option("--texts", help="Your own texts: .txt, .jsonl, .csv, .parquet or `-`."),
    ] = None,
    text_field: TextField = "text",
    synthetic_length: Annotated[
        int, typer.Option(min=1, help="Without --texts: words (about tokens) of each text.")
    ] = 64,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Texts a request.")] = 1,
    rate: Annotated[
        str, typer.Option(help="Requests a second, at random times; `inf`: as fast as they go.")
    ] = "inf",
    concurrency: Annotated[
        int, typer.Option(min=1, help="The most requests under way at a time.")
    ] = 32,
    requests: Annotated[int, typer.Option("--requests", "-n", min=1, help="To each.")] = 200,
    warm_up: Annotated[int, typer.Option(min=0, help="Requests before, not measured.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the texts and the times.")] = 1,
    engine: Engine = "openai",
    config: Config = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the results there; `-` prints them.")
    ] = None,
    png: Annotated[
        Path | None, typer.Option("--png", help="Draw the latencies there (extra `plot`).")
    ] = None,
) -> None:
    """Measure."""
    with refused_as(1):
        if png is not None:
            import embedway_gateway.picture  # noqa: F401
        load = _load(texts, text_field, synthetic_length, requests * batch_size, seed)
        load = replace(
            load,
            batch=batch_size,
            rate=_rate(rate),
            concurrency=concurrency,
            requests=requests,
            warm_up=warm_up,
            rounds=1 if len(endpoints) == 1 else _ROUNDS,
        )
        tallies: list[Tally] = []
        interrupted = False
        try:
            asyncio.run(_measure(endpoints, load, tallies, engine=engine, config=config))
        except KeyboardInterrupt:
            interrupted = True
            fail("Interrupted; this is what was measured so far.")
        results = _told(tallies, load, json_file, png)
    if interrupted:
        raise typer.Exit(130)
    if any(result.succeeded < result.requests for result in results):
        raise typer.Exit(1)


bench.__doc__ = f"""
How fast do endpoints embed, and how long do callers wait?

Sends the same requests to each endpoint, by turns in several rounds, and shows texts and tokens a
second, the success rate, and latencies, with the ratio to the first endpoint. With `--rate`
requests come at random times (Poisson), whether or not answers came, and latency counts from when
each was due. Answers are checked; a wrong one is an error, and named.

The exit code is 0 when every request was answered rightly, else 1. Ctrl-C prints what was measured.

{ENDPOINTS}

Examples:

`embedway bench http://127.0.0.1:8080/v1 --batch-size 32 --synthetic-length 510`

`embedway bench local tei+http://127.0.0.1:8081 --texts articles.txt --rate 10 --json result.json`
"""


def _rate(written: str) -> float:
    try:
        rate = float(written)
    except ValueError:
        rate = math.nan
    if not rate > 0:
        raise typer.BadParameter("--rate is a number of requests a second above 0, or `inf`")
    return rate


def _load(file: str | None, field: str, length: int, count: int, seed: int) -> Load:
    from embedway_gateway.bench.load import Load, synthetic
    from embedway_gateway.bulk.error import BadInput

    most = min(count, _MOST_TEXTS)
    if file is None:
        return Load(texts=synthetic(most, length, seed), seed=seed)
    found, *_ = read_texts([file], field=field, most=most)
    if not found:
        raise BadInput(f"{file} has no texts")
    if len(found) < count:
        say(f"{file} has {len(found):,} texts for {count:,}: they are sent several times.")
    return Load(texts=tuple(found), seed=seed)


async def _measure(
    endpoints: Sequence[str],
    load: Load,
    tallies: list[Tally],
    *,
    engine: str,
    config: Path | None,
) -> None:
    from embedway_gateway.bench.run import run
    from embedway_gateway.bench.tally import Tally
    from embedway_gateway.place.place import opened

    async with AsyncExitStack() as stack:
        places = [
            await stack.enter_async_context(opened(one, engine=engine, config=config))
            for one in endpoints
        ]
        tallies += [Tally(one.label, one.model, is_local=one.is_local) for one in places]
        with waiting(load.requests * len(places)) as advance:
            await run(places, load, tallies, advance=advance)


def _told(
    tallies: Sequence[Tally], load: Load, json_file: Path | None, png: Path | None
) -> list[Result]:
    from embedway_gateway.bench.tally import Result
    from embedway_gateway.place.error import PlaceError

    results = [Result.of(tally) for tally in tallies]
    settings = {**asdict(load), "texts": len(load.texts), "rate": str(load.rate)}
    written = json.dumps(
        {"load": settings, "endpoints": [asdict(result) for result in results]}, indent=2
    )
    if str(json_file) == "-":
        typer.echo(written)
    else:
        _print(results, load)
        if json_file is not None:
            try:
                json_file.write_text(f"{written}\n", "utf-8")
            except OSError as error:
                raise PlaceError(f"{json_file} cannot be written: {error.strerror}") from error
    if png is not None:
        from embedway_gateway.picture import latencies

        latencies(
            {
                f"{number}: {tally.label}": [1000 * value for value in tally.latencies]
                for number, tally in enumerate(tallies, 1)
            },
            png,
        )
    return results


def _print(results: Sequence[Result], load: Load) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("", box=None, pad_edge=False)
    for number, result in enumerate(results):
        table.add_column(Text(result.label), justify="right", overflow="fold")
        if number:
            table.add_column("ratio", justify="right")
    table.add_row("success rate", *_success(results))
    for name, field, form in _LINES:
        table.add_row(name, *_cells(results, field, form))
    console = terminal()
    console.print(table)
    for result in results:
        for error, count in list(result.errors.items())[:_ERRORS]:
            line = Text(f"{result.label}: {count} of {result.requests}: {error}", "red")
            console.print(line, soft_wrap=not console.is_terminal)
        if result.succeeded and result.tokens_per_second is None:
            say(f"{result.label} tells no number of tokens.")
        elif result.tokens_estimated:
            say(f"{result.label} tells no number of tokens; they are estimated from the texts.")
        for doubt in result.doubts(is_open=load.is_open):
            console.print(Text(doubt, "yellow"), soft_wrap=not console.is_terminal)


def _success(results: Sequence[Result]) -> list[str]:
    cells: list[str] = []
    for number, result in enumerate(results):
        cells += [f"{result.success_rate:.1%} ({result.succeeded}/{result.requests})"]
        cells += [""] if number else []
    return cells


def _cells(results: Sequence[Result], field: str, form: str) -> list[str]:
    cells: list[str] = []
    first = getattr(results[0], field) if results else None
    for number, result in enumerate(results):
        value = getattr(result, field)
        cells.append("" if value is None else format(value, form))
        if number:
            if field in _WITHOUT_RATIO or not first or value is None:
                cells.append("")
            else:
                cells.append(f"{value / first:.2f} ×")
    return cells
