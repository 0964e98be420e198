"""Puts the commands together, and turns our errors into one message and an exit code."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from embedway_gateway.cli import eval as evaluation
from embedway_gateway.cli import keys, models
from embedway_gateway.cli.bench import bench
from embedway_gateway.cli.check import check
from embedway_gateway.cli.compare import compare
from embedway_gateway.cli.console import fail
from embedway_gateway.cli.deploy.app import app as deploy
from embedway_gateway.cli.embed import embed
from embedway_gateway.cli.ours import told
from embedway_gateway.cli.serve import serve
from embedway_gateway.cli.similarity import similarity
from embedway_gateway.cli.usage import usage

__all__ = ["application"]


class _Commands(TyperGroup):
    """Errors of ours become a message and exit code 1; any other is a bug and keeps its trace."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            fail("Interrupted.")
            raise typer.Exit(130) from None
        except Exception as error:
            message = told(error)
            if message is None:
                raise
            fail(message)
            raise typer.Exit(1) from None


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"embedway {version('embedway')}")
        raise typer.Exit


def application() -> typer.Typer:
    """The whole command line."""
    app = typer.Typer(
        name="embedway",
        cls=_Commands,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_embedway)
    app.command()(serve)
    app.command(no_args_is_help=True)(embed)
    app.command()(check)
    app.command(no_args_is_help=True)(compare)
    app.command(no_args_is_help=True)(similarity)
    app.command(no_args_is_help=True)(bench)
    app.add_typer(evaluation.app(), name="eval")
    app.add_typer(keys.app(), name="keys")
    app.add_typer(models.app(), name="models")
    app.add_typer(deploy(), name="deploy")
    app.command()(usage)
    return app


def _embedway(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_version),
    ] = False,
) -> None:
    """
    Text embeddings behind one OpenAI-shaped address: on this machine, offline, or from your
    deployments.

    Start with `embedway serve`, or embed a file with `embedway embed texts.txt --out vectors.npy`.
    """
