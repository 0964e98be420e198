"""`embedway embed`: files of texts in, a file of vectors out."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn, TypeAlias

import typer

from embedway_gateway.cli.console import fail, say
from embedway_gateway.cli.progress import Pace, duration, progress

if TYPE_CHECKING:
    from embedway_client import Client
    from embedway_gateway.bulk.job import Job
    from embedway_gateway.bulk.manifest import Manifest
    from embedway_gateway.bulk.parts import Mode

__all__ = ["DEFAULT_MODEL", "embed"]

# Stated again, because importing the local runtime for it takes 0.2 s of every --help.
DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"

# Local: while one chunk is computed, the next is tokenised, so that no core waits between them.
_IN_FLIGHT_LOCAL = 2
# Remote: enough to hide the way there and back; the gateway has its own limits.
_IN_FLIGHT_REMOTE = 4

Inputs: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT...",
        help="Files: .txt (one text a line), .jsonl, .csv, .parquet; `-` is standard input, one "
        "text a line.",
    ),
]
Out: TypeAlias = Annotated[
    Path, typer.Option("--out", "-o", help="The file to make: .parquet, .jsonl or .npy.")
]
Model: TypeAlias = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help=f"Model to embed with; by default {DEFAULT_MODEL}.",
        show_default=False,
    ),
]
BaseURL: TypeAlias = Annotated[
    str,
    typer.Option(
        "--base-url",
        help="`local`: in this process; or a gateway's address, as http://127.0.0.1:8080/v1. Its "
        "key is read from EMBEDWAY_API_KEY.",
    ),
]
InputKind: TypeAlias = Annotated[
    Literal["document", "query"],
    typer.Option("--input-type", help="What the texts are; some models treat the two apart."),
]
Dimensions: TypeAlias = Annotated[
    int | None, typer.Option("--dimensions", min=1, help="Shorter vectors, if the model can.")
]
TextField: TypeAlias = Annotated[
    str, typer.Option("--text-field", help="Field or column that holds the text.")
]
IdField: TypeAlias = Annotated[
    str | None,
    typer.Option("--id-field", help="Field or column that holds the id; else rows are numbered."),
]
Keep: TypeAlias = Annotated[
    bool, typer.Option("--keep", help="Write the text and the input's other columns too.")
]
SkipEmpty: TypeAlias = Annotated[
    bool, typer.Option("--skip-empty", help="Leave out empty texts instead of refusing them.")
]
BatchSize: TypeAlias = Annotated[
    int, typer.Option("--batch-size", min=1, help="Texts a chunk: what an interruption may cost.")
]
Format: TypeAlias = Annotated[
    Literal["fp32", "bf16", "fp16", "int8", "auto"],
    typer.Option(
        "--precision",
        help="In this process: fp32 is exact; int8 and bf16 are faster and nearly the same, each "
        "with a vector space of its own.",
    ),
]
Resume: TypeAlias = Annotated[
    bool, typer.Option("--resume", help="Go on where an interrupted run stopped, if one did.")
]
Overwrite: TypeAlias = Annotated[
    bool, typer.Option("--overwrite", help="Replace the output, and discard unfinished work.")
]


def embed(
    inputs: Inputs,
    *,
    out: Out,
    model: Model = DEFAULT_MODEL,
    base_url: BaseURL = "local",
    input_type: InputKind = "document",
    dimensions: Dimensions = None,
    text_field: TextField = "text",
    id_field: IdField = None,
    keep: Keep = False,
    skip_empty: SkipEmpty = False,
    batch_size: BatchSize = 1024,
    precision: Format = "fp32",
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """
    Embed files of texts into one file of vectors, on this machine or through a gateway.

    Reads as a stream, so files may be of any size, and works offline once the model is here.
    Finished chunks are kept beside the output in OUT.parts until all is done: after an
    interruption of any kind, the same command with --resume loses nothing and repeats nothing.

    Example: `embedway embed articles.jsonl --text-field body --id-field id --out vectors.parquet`
    """
    # Imported here, because --help needs no msgspec.
    from embedway_gateway.bulk.manifest import Manifest

    manifest = Manifest(
        model=model,
        input_type=input_type,
        dimensions=dimensions,
        batch_size=batch_size,
        text_field=text_field,
        id_field=id_field,
        keep=keep,
        precision="fp32" if precision == "auto" else precision,
    )
    mode = _mode(resume=resume, overwrite=overwrite)
    _embed(inputs, out, manifest, mode, base_url=base_url, skip_empty=skip_empty)


def _embed(
    inputs: list[str], out: Path, manifest: Manifest, mode: Mode, *, base_url: str, skip_empty: bool
) -> None:
    from embedway_gateway.bulk.job import Job
    from embedway_gateway.bulk.parts import Parts
    from embedway_gateway.bulk.row import Fields
    from embedway_gateway.bulk.sink import sink_for
    from embedway_gateway.bulk.source import Source

    fields = Fields(
        text=manifest.text_field, id=manifest.id_field, keep=manifest.keep, skip_empty=skip_empty
    )
    source = Source(inputs, fields, stdin=sys.stdin.buffer)
    source.require_other(out)
    sink = sink_for(out, keep=fields.keep, named=fields.id is not None)
    in_flight = _IN_FLIGHT_LOCAL if base_url == "local" else _IN_FLIGHT_REMOTE
    job: Job | None = None
    try:
        with Parts.open(out, manifest, mode) as parts:
            job = Job(source=source, sink=sink, parts=parts, in_flight=in_flight)
            _run(job, base_url)
    except KeyboardInterrupt:
        _leave(job)


def _mode(*, resume: bool, overwrite: bool) -> Mode:
    if resume and overwrite:
        raise typer.BadParameter("--resume goes on, --overwrite begins anew; give one of the two")
    return "resume" if resume else "overwrite" if overwrite else "new"


def _run(job: Job, base_url: str) -> None:
    from embedway_gateway.bulk.error import BadVectors, OutputRefused, PartsDiffer

    pace = Pace(job.source.count())
    try:
        with progress(pace) as advance, _client(job, base_url) as client:
            done = job.run(client, advance)
    except Exception as error:
        # The three name a cure of their own, which is another command.
        if job.parts.rows and not isinstance(error, OutputRefused | PartsDiffer | BadVectors):
            error.add_note(_kept(job))
        raise
    earlier = f", {done.resumed:,} of them by an earlier run" if done.resumed else ""
    skipped = f"; {job.source.skipped:,} empty ones left out" if job.source.skipped else ""
    say(
        f"{job.parts.out}: {done.rows:,} vectors of {job.parts.manifest.width} numbers{earlier}"
        f"{skipped}; {done.tokens:,} tokens in {duration(pace.elapsed)}, {pace.rate:,.0f} texts/s"
    )


def _client(job: Job, base_url: str) -> Client:
    # Imported here: the client brings numpy, and in process the runtime.
    from embedway_client import Client

    manifest = job.parts.manifest
    try:
        return Client(
            manifest.model,
            base_url=base_url,
            dimensions=manifest.dimensions,
            precision=manifest.precision,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _kept(job: Job) -> str:
    return f"{job.parts.rows:,} texts are done and kept; the same command with --resume goes on."


def _leave(job: Job | None) -> NoReturn:
    kept = _kept(job) if job is not None and job.parts.rows else "Nothing was finished yet."
    fail(f"Interrupted. {kept}")
    # A model that computes, or a socket that waits, cannot be interrupted, and the interpreter
    # would wait for its threads. What is finished is on the disk.
    os._exit(130)
