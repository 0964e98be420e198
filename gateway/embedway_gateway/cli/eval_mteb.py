"""`embedway eval mteb`: how good is an endpoint's model on the tasks of MTEB?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, astuple
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from embedway_gateway.cli.console import say, terminal
from embedway_gateway.cli.endpoint import ENDPOINTS, Config, Engine, refused_as

if TYPE_CHECKING:
    from embedway_gateway.evaluation.tasks import TaskScore
    from embedway_gateway.place.place import Place

__all__ = ["mteb"]


def mteb(
    endpoint: Annotated[
        str, typer.Argument(metavar="[ENDPOINT]", help="`local` by default.")
    ] = "local",
    *,
    tasks: Annotated[
        str, typer.Option("--tasks", "-t", help="Names of MTEB's tasks, with commas between.")
    ] = "",
    benchmark: Annotated[
        str | None, typer.Option(help="All tasks of one of MTEB's benchmarks.")
    ] = None,
    languages: Annotated[
        str, typer.Option(help="Of --tasks, only these: eng,deu. By default all.")
    ] = "",
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="A local model; the same as local:MODEL.")
    ] = None,
    symmetric: Annotated[
        Literal["query", "document"],
        typer.Option(help="What texts are in tasks without queries, such as STS."),
    ] = "document",
    name: Annotated[
        str | None, typer.Option(help="What results are filed under; by default the model.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="Keep MTEB's own result files in this folder.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Do not run again what --results has already.")
    ] = False,
    engine: Engine = "openai",
    config: Config = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the scores there; `-` prints them.")
    ] = None,
) -> None:
    """Evaluate."""
    if model is not None and endpoint != "local":
        raise typer.BadParameter("--model is a local one; write ENDPOINT#MODEL instead")
    if resume and results is None:
        raise typer.BadParameter("--resume needs --results, the folder that was given before")
    names = [one.strip() for one in tasks.split(",") if one.strip()]
    if not names and benchmark is None:
        raise typer.BadParameter("name tasks with --tasks, or a --benchmark")
    with refused_as(1):
        from embedway_gateway.evaluation.tasks import find_tasks, run_tasks
        from embedway_gateway.place.blocking import blocking
        from mteb_embedway import EmbedwayEncoder

        wanted = find_tasks(names, benchmark, [one for one in languages.split(",") if one])
        written = endpoint if model is None else f"local:{model}"
        with blocking(written, engine=engine, config=config) as embedder:
            place = embedder.place
            encoder = EmbedwayEncoder(
                embedder,
                name=name or place.model,
                # Kept results are an endpoint's own: the same model elsewhere, or asked otherwise,
                # is another one, and so is what answers there since.
                revision=_revision((written, symmetric, *_about(place), embedder.identity())),
                symmetric=symmetric,
            )
            bar = terminal(error=True).is_terminal
            found: list[TaskScore] = []
            for one in run_tasks(encoder, wanted, folder=results, resume=resume, bar=bar):
                say(f"{one.task}: {one.measure} {one.score:.4f} ({one.split}, {one.subset})")
                found.append(one)
        _told(found, place.label, place.model, json_file)


mteb.__doc__ = f"""
How good is an endpoint's model on the tasks of MTEB?

Runs MTEB itself (`pip install "embedway[gateway,local,eval]"`), which downloads the tasks' data,
with the endpoint as its model: any that Embedway reaches. Queries and passages are told apart, and
get the prompts that the model wants.

{ENDPOINTS}

Examples:

`embedway eval mteb --tasks SciFact,STS17 --languages eng --model minilm`

`embedway eval mteb tei+http://127.0.0.1:8081 --benchmark "MTEB(eng, v2)" --results results --resume`
"""  # noqa: E501


def _about(place: Place) -> tuple[object, ...]:
    return place.engine, place.model, place.address, place.precision, astuple(place.prompts)


def _revision(settings: tuple[object, ...]) -> str:
    import hashlib

    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12]


def _told(found: Sequence[TaskScore], label: str, model: str, json_file: Path | None) -> None:
    from embedway_gateway.place.error import PlaceError

    scores = [asdict(one) for one in found]
    written = json.dumps({"endpoint": label, "model": model, "scores": scores}, indent=2)
    if str(json_file) == "-":
        typer.echo(written)
        return
    _print(found, label)
    if json_file is not None:
        try:
            json_file.write_text(f"{written}\n", "utf-8")
        except OSError as error:
            raise PlaceError(f"{json_file} cannot be written: {error.strerror}") from error


def _print(found: Sequence[TaskScore], label: str) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("task", "type", "split", "subset", "measure", box=None, pad_edge=False)
    table.add_column(Text(label), justify="right", overflow="fold")
    for one in found:
        cells = (one.task, one.kind, one.split, one.subset, one.measure, f"{one.score:.4f}")
        table.add_row(*cells)
    terminal().print(table)
