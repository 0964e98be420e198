"""`embedway check`: is the configuration right, and do the upstreams answer?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedway_gateway.cli.console import terminal

if TYPE_CHECKING:
    from embedway_gateway.survey import Finding

__all__ = ["check"]


def check(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="The configuration file, YAML.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """
    Validate the configuration, reach every upstream, and compare their vector spaces.

    The exit code is 0 when all is well, and 1 when the file has a mistake, an upstream cannot be
    reached, or one gives vectors of another space. Without --config it checks what
    `embedway serve` would do without one.

    Example:
        embedway check --config embedway.yaml

    """
    import asyncio

    from embedway_gateway.config.load import load_config
    from embedway_gateway.config.schema import default_config
    from embedway_gateway.survey import survey
    from embedway_local.catalogue import DEFAULT_MODEL

    loaded = load_config(config) if config else default_config(DEFAULT_MODEL)
    findings = asyncio.run(survey(loaded))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print(findings)
    if any(finding.problem for finding in findings):
        raise typer.Exit(1)


def _print(findings: list[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("model", "upstream", "engine", "size", "ms a text", "cosine", "verdict")
    table.columns[-1].overflow = "fold"
    for finding in findings:
        table.add_row(
            finding.model,
            finding.upstream,
            finding.engine,
            _shown(finding.dimensions, "d"),
            _shown(finding.milliseconds, ".1f"),
            _shown(finding.cosine, ".5f"),
            # Not markup: a problem may name embedway[local].
            Text(finding.problem, "red") if finding.problem else Text("ok", "green"),
        )
    terminal().print(table)


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
