"""The command line: `embedway`, one module a command."""

from __future__ import annotations

import importlib.util
import sys

__all__ = ["main"]


def main() -> None:
    """The console script `embedway`."""
    # The bare install is the client's and has no command line, but pip makes the script anyway.
    if importlib.util.find_spec("typer") is None or importlib.util.find_spec("rich") is None:
        sys.exit(
            "embedway: the command line is not installed; install it with\n"
            '    pip install "embedway[local]"      to embed on this machine, or\n'
            '    pip install "embedway[gateway]"    to serve'
        )
    from embedway_gateway.cli.app import application

    application()()
