"""`embedway similarity`: how alike are these texts, each with each?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedway_gateway.cli.console import say, terminal
from embedway_gateway.cli.endpoint import Config, Engine, TextField, read_texts, refused_as

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["similarity"]

# A table of more columns is read by nobody; a picture still is.
_SHOWN = 20
_EXCERPT = 40


def similarity(
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT]...", help="Two texts or more.")
    ] = None,
    *,
    file: Annotated[
        str | None,
        typer.Option("--file", "-f", help="Texts: a .txt, .jsonl, .csv or .parquet file, or `-`."),
    ] = None,
    text_field: TextField = "text",
    limit: Annotated[int, typer.Option(min=2, help="Use so many texts of the file.")] = 100,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="A local model; by default MiniLM.")
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option("--endpoint", help="Embed there instead: see `embedway compare --help`."),
    ] = None,
    engine: Engine = "openai",
    config: Config = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Draw the heat map there, a PNG (extra `plot`)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """
    How alike are these texts? Their cosines, each with each, as a table and a heat map.

    1 is the same meaning, 0 is none in common. In this process and offline, once the model is here.

    Examples:
    `embedway similarity "That is a happy person" "That is a very happy person" "It rains"`

    `embedway similarity --file questions.txt --out heatmap.png --endpoint tei+http://127.0.0.1:8081`

    """
    if model is not None and endpoint is not None:
        raise typer.BadParameter("--model is a local one; write --endpoint URL#MODEL instead")
    with refused_as(1):
        if out is not None:
            # Now, and not after the work: it may not be installed.
            import embedway_gateway.picture  # noqa: F401
        given = [*(texts or ()), *_of_file(file, text_field, limit)]
        if len(given) < 2:
            raise typer.BadParameter("give two texts or more, or --file with them")
        where = endpoint or ("local" if model is None else f"local:{model}")
        matrix = asyncio.run(_matrix(where, given, engine, config))
        if as_json:
            rows = [[round(float(value), 6) for value in row] for row in matrix]
            typer.echo(json.dumps({"texts": given, "cosines": rows}, ensure_ascii=False))
        else:
            _print(given, matrix)
        if out is not None:
            from embedway_gateway.picture import heat_map

            heat_map(matrix, [_excerpt(text) for text in given], out)


def _of_file(file: str | None, field: str, limit: int) -> list[str]:
    if file is None:
        return []
    found, _, more, _ = read_texts([file], field=field, most=limit)
    if more:
        say(f"The first {limit:,} texts of {file} are used; --limit takes more.")
    return found


async def _matrix(
    where: str, texts: Sequence[str], engine: str, config: Path | None
) -> NDArray[np.float64]:
    from embedway_gateway.likeness.measure import matrix
    from embedway_gateway.place.error import PlaceError
    from embedway_gateway.place.place import opened
    from embedway_gateway.place.rows import embed_rows

    async with opened(where, engine=engine, config=config) as place:
        rows = await embed_rows(place, texts)
    if not rows.present.all():
        number = int(rows.present.argmin()) + 1
        raise PlaceError(f"text {number} is too long for {place.label}; shorten it")
    return matrix(rows.vectors)


def _print(texts: Sequence[str], matrix: NDArray[np.float64]) -> None:
    from rich.table import Table
    from rich.text import Text

    count = min(len(texts), _SHOWN)
    table = Table("", "text", *(str(number) for number in range(1, count + 1)), box=None)
    for number, text in enumerate(texts[:count]):
        cells = [Text(f"{value:.3f}", _colour(value)) for value in matrix[number, :count]]
        table.add_row(str(number + 1), Text(_excerpt(text)), *cells)
    terminal().print(table)
    if count < len(texts):
        say(f"The first {count} of {len(texts)} texts; --out draws all, --json prints all.")


def _colour(value: float) -> str:
    return "red" if value >= 0.7 else "yellow" if value >= 0.4 else "blue"


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _EXCERPT else f"{line[: _EXCERPT - 1]}…"
