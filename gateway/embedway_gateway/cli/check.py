"""`embedway check`: is the configuration right, and do the upstreams answer?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedway_gateway.cli.console import terminal

if TYPE_CHECKING:
    from rich.text import Text

    from embedway_gateway.survey import Finding

__all__ = ["check"]


def check(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="The configuration file, YAML.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
    timeout: Annotated[
        float,
        typer.Option(
            min=0.1, help="Seconds that a call may take, unless the upstream's own are fewer."
        ),
    ] = 30.0,
    local: Annotated[
        bool,
        typer.Option(
            "--local", help="Examine this machine: what models run on, and why not a card."
        ),
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(help="With --local: what must run: cpu, cuda, cuda:1, cuda:all, tensorrt."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="With --local: the model to try, if it is here already.")
    ] = None,
) -> None:
    """
    Validate the configuration, reach every upstream, and compare their vector spaces. The file of
    keys is looked through, and every Redis server connected to.

    The exit code is 0 when all is well, notes in yellow included, and 1 when the file has a
    mistake, an upstream cannot be reached or refuses what the gateway sends, or one gives vectors
    of another space, and so for keys and Redis. Without --config it checks what `embedway serve`
    would do without one.

    With --local nothing is asked but this machine: which ONNX Runtime, CUDA, driver and provider,
    which of them really ran the model, and why not the card. The exit code is then 1 only when
    --device names what did not run.

    Example:
        embedway check --config embedway.yaml
        embedway check --local --device cuda

    """
    if local:
        if config is not None:
            raise typer.BadParameter("--local looks at this machine and reads no --config")
        _doctor(device or "auto", model, as_json=as_json)
        return
    if device is not None or model is not None:
        raise typer.BadParameter("--device and --model belong to --local")
    import asyncio

    from embedway_gateway.config.exposure import exposures
    from embedway_gateway.config.load import load_config
    from embedway_gateway.config.schema import default_config
    from embedway_gateway.survey import survey
    from embedway_local.catalogue import DEFAULT_MODEL

    loaded = load_config(config) if config else default_config(DEFAULT_MODEL)
    if config:
        for sentence in exposures(loaded, config):
            typer.echo(f"warning: {sentence}", err=True)
    with _waiting() as watch:
        findings = asyncio.run(survey(loaded, seconds=timeout, watch=watch))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print(findings)
    if any(finding.problem for finding in findings):
        raise typer.Exit(1)


def _doctor(device: str, model: str | None, *, as_json: bool) -> None:
    from embedway_gateway.cli.doctor import show
    from embedway_local import DEFAULT_MODEL
    from embedway_local.doctor import examine

    try:
        report = examine(device, model=model or DEFAULT_MODEL)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if as_json:
        typer.echo(json.dumps({**asdict(report), "met": report.met}, indent=2))
    else:
        show(report)
    if not report.met:
        raise typer.Exit(1)


@contextmanager
def _waiting() -> Iterator[Callable[[int, int], None] | None]:
    """A line on a terminal that says how far it is; nothing elsewhere."""
    console = terminal(error=True)
    if not console.is_terminal:
        yield None
        return
    with console.status("looking for upstreams") as line:
        yield lambda done, of: line.update(f"asking the upstreams: {done} of {of}")


def _print(findings: list[Finding]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("model", overflow="fold")
    table.add_column("upstream", overflow="fold")
    table.add_column("engine", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("limits")
    table.add_column("ms a text", justify="right", no_wrap=True)
    table.add_column("cosine", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for finding in findings:
        asked = finding.milliseconds
        table.add_row(
            finding.model,
            finding.upstream,
            f"{finding.engine} {finding.version or ''}".rstrip(),
            _shown(finding.dimensions, "d"),
            _limits(finding),
            _shown(finding.rerank_milliseconds if asked is None else asked, ".1f"),
            _shown(finding.cosine, ".5f"),
            _verdict(finding),
        )
    console = terminal()
    console.print(table)
    for finding in findings:
        if text := _explained(finding):
            # A line each where lines have no end, so that they can be searched.
            console.print(text, soft_wrap=not console.is_terminal)


def _limits(finding: Finding) -> str:
    found = []
    if finding.max_inputs is not None:
        found.append(f"{finding.max_inputs} texts")
    if finding.max_tokens is not None:
        fate = {True: ", cut", False: ", else refused", None: ""}[finding.truncates]
        found.append(f"{finding.max_tokens} tokens{fate}")
    return " · ".join(found)


def _verdict(finding: Finding) -> Text:
    from rich.text import Text

    if finding.problem:
        return Text("problem", "red")
    return Text("note", "yellow") if finding.notes else Text("ok", "green")


def _explained(finding: Finding) -> Text | None:
    """Below the table, where there is room to say what to do; None where there is nothing to."""
    from rich.text import Text

    whole = ". ".join([finding.problem] if finding.problem else finding.notes)
    if not whole:
        return None
    where = " of ".join(name for name in (finding.upstream, finding.model) if name)
    # Not markup: a problem may name embedway[local].
    return Text.assemble((f"{where}: ", "bold"), (whole, "red" if finding.problem else "yellow"))


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
