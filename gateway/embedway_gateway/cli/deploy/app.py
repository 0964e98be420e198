"""`embedway deploy`: from a model's name to a running deployment, and back."""

from __future__ import annotations

import typer

from embedway_gateway.cli.deploy.kept import apply, destroy, logs, status, verify
from embedway_gateway.cli.deploy.onnx import onnx
from embedway_gateway.cli.deploy.tei import tei

__all__ = ["app"]


def app() -> typer.Typer:
    """The commands of `embedway deploy`."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
    group.callback()(_deploy)
    group.command(no_args_is_help=True)(onnx)
    group.command(no_args_is_help=True)(tei)
    group.command(no_args_is_help=True)(verify)
    group.command(no_args_is_help=True)(apply)
    group.command(no_args_is_help=True)(status)
    group.command(no_args_is_help=True)(logs)
    group.command(no_args_is_help=True)(destroy)
    return group


def _deploy() -> None:
    """
    Deploy a model to OCI Data Science.

    `--dry-run` prints everything that would be made: resources, files, environment, IAM policies,
    sizes and what is paid for. Without it, that is applied: what is there already is found by its
    tags and left alone, so a second run changes nothing, and an interrupted one goes on. At the end
    texts are embedded through the gateway's own code and compared with the local runtime.

    Needs `pip install "embedway[deploy]"`.
    """
