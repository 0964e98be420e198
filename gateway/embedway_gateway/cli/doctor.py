"""Prints what an examination of this machine found: `embedway check --local`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from embedway_gateway.cli.console import terminal

if TYPE_CHECKING:
    from embedway_local.doctor import Report

__all__ = ["show"]


def show(report: Report) -> None:
    """A table of facts, and below it what to do."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = terminal()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("this machine", no_wrap=True)
    table.add_column("", overflow="fold")
    for name, value in _facts(report):
        # Not markup: a value may name embedway[gpu].
        table.add_row(name, Text(value))
    console.print(table)
    for name, text, style in _advice(report):
        line = Text.assemble((f"{name}: ", "bold"), (text, style))
        console.print(line, soft_wrap=not console.is_terminal)


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    yield from _software(report)
    yield from _really(report)
    host, disk = report.host, report.disk
    yield "system", host.system
    features = f" ({' '.join(host.features)})" if host.features else ""
    yield "processor", f"{host.processor}{features}"
    yield "cores", f"{host.cores} of {host.cores_of_host}"
    if host.memory is not None:
        yield "memory", _size(host.memory)
    models = f"{len(disk.models)} model{'' if len(disk.models) == 1 else 's'}"
    yield "model store", f"{disk.home}: {models}, {_size(disk.bytes)}"


def _software(report: Report) -> Iterator[tuple[str, str]]:
    installed, driver = report.installed, report.driver
    built = f", built for CUDA {installed.cuda}" if installed.cuda else ""
    yield "onnxruntime", f"{installed.version}{built}" if installed.version else "none"
    wheels = ", ".join(f"{wheel.name} {wheel.version}" for wheel in installed.wheels)
    yield "installed as", wheels or "nothing"
    if installed.libraries:
        libraries = [f"{wheel.name} {wheel.version}" for wheel in installed.libraries]
        yield "CUDA packages", ", ".join(libraries)
    if installed.missing:
        yield "missing", ", ".join(installed.missing)
    if driver is None:
        yield "driver", "none"
    else:
        yield "driver", f"runs CUDA {driver.cuda // 1000}.{driver.cuda % 1000 // 10}"
        for card in driver.cards:
            free = "" if card.free is None else f", {_size(card.free)} free"
            told = f"{card.name}, {_size(card.total)}{free}, compute capability {card.capability}"
            yield f"card {card.index}", told
    yield "compiled in", ", ".join(map(_provider, installed.available)) or "nothing"


def _really(report: Report) -> Iterator[tuple[str, str]]:
    trial = report.trial
    nodes = ", ".join(f"{count} nodes on {_provider(name)}" for name, count in trial.nodes.items())
    yield "really ran", nodes or "nothing"
    if trial.device is None:
        return
    tried = trial.model or "a small graph of our own, as no model is here"
    yield "device", f"{trial.device} in {trial.precision}, with {tried}"
    if trial.speed is not None:
        speed = trial.speed
        yield "one query", f"{speed.query_ms:.1f} ms"
        yield f"{speed.batch_texts} texts", f"{speed.batch_texts_per_s:.0f} texts/s"


def _advice(report: Report) -> Iterator[tuple[str, str, str]]:
    trial = report.trial
    if trial.why is not None:
        # Where there is no card and none is asked for, the processor is no fault.
        wanted = not report.met or trial.device is None or report.driver is not None
        name = "nothing ran" if trial.device is None else "why not the card"
        yield name, trial.why, "red" if not report.met or trial.device is None else "yellow"
        if wanted and trial.cure is not None:
            yield "do", trial.cure, "yellow"
    for note in report.notes:
        yield "note", note, "yellow"


def _provider(name: str) -> str:
    return name.removesuffix("ExecutionProvider")


def _size(count: int) -> str:
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"
