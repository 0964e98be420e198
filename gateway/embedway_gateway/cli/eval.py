"""`embedway eval`: how good is a model, on one's own texts and on MTEB?"""

from __future__ import annotations

import typer

from embedway_gateway.cli.eval_mteb import mteb
from embedway_gateway.cli.eval_retrieval import retrieval

__all__ = ["app"]


def app() -> typer.Typer:
    """The commands below `embedway eval`."""
    group = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode="markdown",
        help="How good is a model? On your own texts, on the set that comes along, or on MTEB.",
    )
    group.command()(retrieval)
    group.command(no_args_is_help=True)(mteb)
    return group
