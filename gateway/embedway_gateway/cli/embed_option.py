"""The options of `embedway embed`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

__all__ = [
    "DEFAULT_MODEL",
    "BaseURL",
    "BatchSize",
    "CPUs",
    "Dimensions",
    "Engine",
    "Format",
    "GPUs",
    "IdField",
    "InputKind",
    "Inputs",
    "Keep",
    "Model",
    "Out",
    "Overwrite",
    "RayAddress",
    "Resume",
    "SkipEmpty",
    "TextField",
    "Workers",
]

# Stated again, because importing the local runtime for it takes 0.2 s of every --help.
DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"

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
Engine: TypeAlias = Annotated[
    Literal["local", "ray"],
    typer.Option("--engine", help="Who works: this process, or the workers of a Ray cluster."),
]
RayAddress: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        envvar="RAY_ADDRESS",
        help="The cluster, as host:port. Without it one that runs on this machine is used, or "
        "started.",
    ),
]
Workers: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, help="Workers in the cluster; by default as many as have room now."
    ),
]
CPUs: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--cpus-per-worker", min=0.1, help="Cores a worker; by default 1, or 4 with a card."
    ),
]
GPUs: TypeAlias = Annotated[
    float, typer.Option("--gpus-per-worker", min=0, help="CUDA cards a worker; 0.5 shares one.")
]
