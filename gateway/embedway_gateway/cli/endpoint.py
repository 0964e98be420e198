"""The options that say where texts are embedded, for every command that compares or measures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from embedway_gateway.cli.console import fail
from embedway_gateway.cli.ours import told

__all__ = ["ENDPOINTS", "Config", "Engine", "TextField", "read_texts", "refused_as"]

ENDPOINTS = """\
An endpoint is one of

- `local` or `local:MODEL`: in this process
- `http://127.0.0.1:8080/v1`, with the model as `…/v1#MODEL` where there are several, and with the
  server's kind before it where it is not OpenAI's: `tei+http://127.0.0.1:8081`, `ovms+http://…`,
  `infinity+`, `vllm+`, `onnx+`; `embedway+` for a gateway of ours, which is told what is a query
- `embedway.yaml#NAME`: a model of a configuration, or one of its upstreams
- `file:old.parquet`, `.jsonl` or `.npy`, for `embedway compare` alone: vectors that you have
  already; `text=` and `vector=` name the columns, by default `text` and `embedding`

with options after commas: `key=VARIABLE` (the environment variable that holds the API key),
`credentials=NAME` (of `--config`), `input_type=query`, `prompt=TEXT`, or `query_prompt=` and
`document_prompt=`, `dimensions=N`, `label=NAME`;
`local` takes `pooling=`, `max_tokens=`, `device=`, `precision=`, `threads=`, a URL
`platform=`, `path=`, `max_inputs=`, `timeout=`, `insecure=true`."""
"""For --help."""

Engine: TypeAlias = Annotated[
    Literal["tei", "ovms", "infinity", "vllm", "openai", "onnx", "embedway"],
    typer.Option("--engine", help="The server's kind, for URLs that do not begin with one."),
]
Config: TypeAlias = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="A configuration whose credentials= URLs may name."),
]
TextField: TypeAlias = Annotated[
    str, typer.Option("--text-field", help="Field or column that holds the text.")
]


def read_texts(
    files: Sequence[str], *, field: str, most: int
) -> tuple[list[str], list[str], bool, int]:
    """The first texts of files, where each stands, whether more come, and how many were empty."""
    import sys
    from itertools import islice

    from embedway_gateway.bulk.row import Fields
    from embedway_gateway.bulk.source import Source

    fields = Fields(text=field, skip_empty=True)
    source = Source(files, fields, stdin=sys.stdin.buffer)
    rows = list(islice(source.rows(), most + 1))
    first = rows[:most]
    places = [row.place for row in first]
    return [row.text for row in first], places, len(rows) > most, source.skipped


@contextmanager
def refused_as(code: int) -> Iterator[None]:
    """Let errors of ours end the command with a message and this exit code."""
    try:
        yield
    except Exception as error:
        message = told(error)
        if message is None:
            raise
        fail(message)
        raise typer.Exit(code) from None
