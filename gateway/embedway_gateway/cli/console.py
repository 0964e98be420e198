"""Prints: results on standard output, everything else on standard error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["fail", "say", "terminal"]


def terminal(*, error: bool = False) -> Console:
    """A console on standard output, or on standard error; colour only where someone sees it."""
    from rich.console import Console

    console = Console(stderr=error, highlight=False)
    if not console.is_terminal:
        # A file or pipe has no width; rich would cut at 80 columns.
        console.width = 10_000
    return console


def fail(message: str) -> None:
    """Tell what went wrong, in red where there is colour."""
    # Not markup: messages hold brackets, as in embedway[local].
    terminal(error=True).print(message, style="red", markup=False, soft_wrap=True)


def say(message: str) -> None:
    """Tell how it goes."""
    typer.echo(message, err=True)
