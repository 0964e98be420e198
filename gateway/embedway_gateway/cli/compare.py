"""`embedway compare`: are two endpoints the same vector space?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedway_gateway.cli.console import say, terminal
from embedway_gateway.cli.endpoint import (
    ENDPOINTS,
    Config,
    Engine,
    TextField,
    read_texts,
    refused_as,
)

if TYPE_CHECKING:
    from embedway_gateway.likeness.report import Report
    from embedway_gateway.place.stored import Texts

__all__ = ["compare", "waiting"]

_CODES = {"same": 0, "different": 1, "unclear": 2}
_COLOURS = {"same": "green", "different": "red", "unclear": "yellow"}
_EXCERPT = 72
_BAR = 40


def compare(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The endpoint that you have.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The one that shall replace it.")],
    *,
    texts: Annotated[
        str | None,
        typer.Option(
            "--texts",
            help="Your own texts: .txt, .jsonl, .csv or .parquet, `-` for standard input; by "
            "default those of a file of vectors, else eight test texts, short and long.",
        ),
    ] = None,
    text_field: TextField = "text",
    limit: Annotated[int, typer.Option(min=1, help="Use so many texts of the file.")] = 1000,
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="The least cosine that counts as the same.")
    ] = 0.999,
    engine: Engine = "openai",
    config: Config = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Write the report there, without any text; `-`: print it."),
    ] = None,
    png: Annotated[
        Path | None, typer.Option("--png", help="Draw the histogram there (extra `plot`).")
    ] = None,
) -> None:
    """Compare."""
    with refused_as(2):
        if png is not None:
            # Now, and not after an hour: it may not be installed.
            import embedway_gateway.picture  # noqa: F401
        given = _texts(texts, text_field, limit, (old, new))
        with waiting(2 * len(given.texts)) as advance:
            report = asyncio.run(
                _compare(
                    (old, new),
                    given,
                    engine=engine,
                    config=config,
                    threshold=threshold,
                    advance=advance,
                )
            )
        if str(json_file) == "-":
            typer.echo(_json(report))
        else:
            _print(report, given)
        _write(report, json_file, png)
    raise typer.Exit(_CODES[report.verdict])


compare.__doc__ = f"""
Are two endpoints the same vector space? Then an index that was made with one can be asked with
the other. OLD may be the vectors of that index, as a file.

Embeds the same texts through both, and shows the cosine of each text's two vectors, their lengths,
and how many nearest texts both agree on, which is what a search feels. Where they differ it looks
for the cause: prompt, pooling, normalisation, truncation, dimensions.

The exit code is 0 for the same space, 1 for another, and 2 when it could not be told.

{ENDPOINTS}

Examples:

`embedway compare local tei+http://127.0.0.1:8081 --texts articles.jsonl --text-field body`

`embedway compare file:index.parquet http://127.0.0.1:8080/v1#minilm`

`embedway compare https://api.openai.com/v1#text-embedding-3-small,key=OPENAI_API_KEY embedway.yaml#small`
"""  # noqa: E501


async def _compare(
    written: tuple[str, str],
    texts: Texts,
    *,
    engine: str,
    config: Path | None,
    threshold: float,
    advance: Callable[[int], None],
) -> Report:
    from embedway_gateway.likeness.compare import compare as run
    from embedway_gateway.place.place import opened

    async with (
        opened(written[0], engine=engine, config=config, texts=texts) as old,
        opened(written[1], engine=engine, config=config, texts=texts) as new,
    ):
        return await run((old, new), texts.texts, threshold=threshold, advance=advance)


def _texts(file: str | None, field: str, limit: int, written: tuple[str, str]) -> Texts:
    from embedway_gateway.bulk.error import BadInput
    from embedway_gateway.layers.canary import CANARIES
    from embedway_gateway.place.stored import Texts, stored_texts
    from embedway_gateway.place.syntax import parse

    files = [spec for spec in map(parse, written) if spec.kind == "file"]
    if file is None and not files:
        return Texts(CANARIES, [f"test text {number}" for number in range(1, len(CANARIES) + 1)])
    if file is None:
        found, name = stored_texts(files[0], limit), files[0].where
    else:
        found, name = Texts(*read_texts([file], field=field, most=limit)), file
    if not found.texts:
        raise BadInput(f"{name} has no texts")
    if found.more:
        say(f"The first {limit:,} texts of {name} are compared; --limit takes more.")
    return found


@contextmanager
def waiting(total: int) -> Iterator[Callable[[int], None]]:
    """Something to call with each count that is done: a bar on a terminal, nothing elsewhere."""
    console = terminal(error=True)
    if not console.is_terminal:
        yield lambda _count: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.advance(task, count)


def _print(report: Report, given: Texts) -> None:
    from rich.text import Text

    console = terminal()

    def line(text: str, style: str = "") -> None:
        console.print(Text(text, style), soft_wrap=not console.is_terminal)

    for name, model, size in zip(report.names, report.models, report.dimensions, strict=True):
        line(f"{name}: {model}, {size} dimensions")
    if report.cosine is not None:
        found = report.cosine
        line(f"cosine of {found.count} texts: mean {found.mean:.6f}, p1 {found.p1:.6f}")
        place = given.places[found.worst_index]
        worst = f"worst: {found.worst:.6f}, {place} (index {found.worst_index})"
        # Only where someone sees it: a log is not the place for a user's texts.
        line(
            f"{worst}: {_excerpt(given.texts[found.worst_index])}" if console.is_terminal else worst
        )
        for text in _bars(report):
            line(text)
    if report.lengths is not None:
        for name, long in zip(report.names, report.lengths, strict=True):
            line(f"length of {name}'s vectors: {long.least:.4f} to {long.most:.4f}")
    if report.overlap is not None:
        line(f"of the {report.neighbours} nearest texts, both have {report.overlap:.1%} in common")
    line(report.words[0].upper() + report.words[1:], f"bold {_COLOURS[report.verdict]}")
    for cause in report.causes:
        line(f"Cause: {cause}", "red")
    for note in report.notes:
        line(f"Note: {note}", "yellow")


def _bars(report: Report) -> Iterator[str]:
    """The histogram: a line a bin, from the best to the last that has any."""
    assert report.cosine is not None
    bins = report.cosine.histogram
    last = max(index for index, (_, count) in enumerate(bins) if count)
    most = max(count for _, count in bins)
    for least, count in bins[: last + 1]:
        filled = "█" * max(round(_BAR * count / most), 1 if count else 0)
        yield f"  ≥ {least:<8g}{count:>8,}  {filled}".rstrip()


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _EXCERPT else f"{line[: _EXCERPT - 1]}…"


def _json(report: Report) -> str:
    return json.dumps({**asdict(report), "exit_code": _CODES[report.verdict]}, indent=2)


def _write(report: Report, json_file: Path | None, png: Path | None) -> None:
    from embedway_gateway.place.error import PlaceError

    if json_file is not None and str(json_file) != "-":
        try:
            json_file.write_text(f"{_json(report)}\n", "utf-8")
        except OSError as error:
            raise PlaceError(f"{json_file} cannot be written: {error.strerror}") from error
    if png is not None and report.values:
        from embedway_gateway.picture import histogram

        histogram(report, png)
    elif png is not None:
        say(f"There are no cosines to draw; {png} is not made.")
