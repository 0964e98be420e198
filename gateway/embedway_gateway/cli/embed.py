"""`embedway embed`: files of texts in, a file of vectors out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import typer

from embedway_gateway.cli.console import fail, say
from embedway_gateway.cli.embed_option import (
    DEFAULT_MODEL,
    BaseURL,
    BatchSize,
    CPUs,
    Dimensions,
    Engine,
    Format,
    GPUs,
    IdField,
    InputKind,
    Inputs,
    Keep,
    Model,
    Out,
    Overwrite,
    RayAddress,
    Resume,
    SkipEmpty,
    TextField,
    Workers,
)
from embedway_gateway.cli.progress import Pace, duration, progress

if TYPE_CHECKING:
    from pathlib import Path

    from embedway_client import Client
    from embedway_gateway.bulk.encoder import Encoder
    from embedway_gateway.bulk.job import Job
    from embedway_gateway.bulk.manifest import Manifest
    from embedway_gateway.bulk.parts import Mode
    from embedway_gateway.bulk.ray.worker import Order

__all__ = ["DEFAULT_MODEL", "embed"]

# Local: while one chunk is computed, the next is tokenised, so that no core waits between them.
_IN_FLIGHT_LOCAL = 2
# Remote: enough to hide the way there and back; the gateway has its own limits.
_IN_FLIGHT_REMOTE = 4


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
    engine: Engine = "local",
    ray_address: RayAddress = None,
    workers: Workers = None,
    cpus_per_worker: CPUs = None,
    gpus_per_worker: GPUs = 0,
) -> None:
    """
    Embed files of texts into one file of vectors, on this machine or through a gateway.

    Reads as a stream, so files may be of any size, and works offline once the model is here.
    Finished chunks are kept beside the output in OUT.parts until all is done: after an
    interruption of any kind, the same command with --resume loses nothing and repeats nothing.
    With --engine ray the workers of a cluster embed, and this machine reads and writes; either
    engine goes on with what the other began.

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
    ray = _Ray(ray_address, workers, cpus_per_worker, gpus_per_worker)
    if engine == "local":
        ray.require_unused()
    place = _Place(base_url, ray if engine == "ray" else None)
    mode = _mode(resume=resume, overwrite=overwrite)
    _embed(inputs, out, manifest, mode, place=place, skip_empty=skip_empty)


@dataclass(frozen=True, slots=True)
class _Ray:
    address: str | None
    workers: int | None
    cpus: float | None
    gpus: float

    def require_unused(self) -> None:
        # Not the address: the environment may name it for other programs.
        if (self.workers, self.cpus, self.gpus) != (None, None, 0):
            raise typer.BadParameter(
                "--workers, --cpus-per-worker and --gpus-per-worker are for --engine ray"
            )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the texts are embedded."""

    base_url: str
    ray: _Ray | None


def _embed(
    inputs: list[str], out: Path, manifest: Manifest, mode: Mode, *, place: _Place, skip_empty: bool
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
    in_flight = _IN_FLIGHT_LOCAL if place.base_url == "local" else _IN_FLIGHT_REMOTE
    job: Job | None = None
    try:
        with Parts.open(out, manifest, mode) as parts:
            job = Job(source=source, sink=sink, parts=parts, in_flight=in_flight)
            _run(job, place)
    except KeyboardInterrupt:
        _leave(job)


def _mode(*, resume: bool, overwrite: bool) -> Mode:
    if resume and overwrite:
        raise typer.BadParameter("--resume goes on, --overwrite begins anew; give one of the two")
    return "resume" if resume else "overwrite" if overwrite else "new"


def _run(job: Job, place: _Place) -> None:
    from embedway_gateway.bulk.error import BadVectors, OutputRefused, PartsDiffer

    pace = Pace(job.source.count())
    try:
        with progress(pace) as advance, _encoder(job, place) as encoder:
            done = job.run(encoder, advance)
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


@contextmanager
def _encoder(job: Job, place: _Place) -> Iterator[Encoder]:
    with _client(job, place.base_url) as client:
        if place.ray is None:
            yield client
            return
    # Made first, because Ray reads some of its settings when it is imported.
    from embedway_gateway.bulk.ray.cluster import connected

    with connected(place.ray.address) as grows:
        from embedway_gateway.bulk.ray.pool import Pool

        order = _order(job.parts.manifest, place.base_url, place.ray)
        pool = Pool(order, count=place.ray.workers, grows=grows, say=say)
        job.in_flight = pool.in_flight
        try:
            yield pool
        finally:
            pool.close()


def _order(manifest: Manifest, base_url: str, ray: _Ray) -> Order:
    from embedway_client import environment
    from embedway_gateway.bulk.ray.worker import Order

    return Order(
        model=manifest.model,
        base_url=base_url,
        api_key=None if base_url == "local" else environment.api_key(),
        dimensions=manifest.dimensions,
        precision=manifest.precision,
        cpus=ray.cpus or (4 if ray.gpus else 1),
        gpus=ray.gpus,
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
