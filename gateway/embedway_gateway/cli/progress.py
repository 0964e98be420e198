"""Shows how far a bulk job is: a bar on a terminal, elsewhere a line every ten seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from embedway_gateway.cli.console import say, terminal

__all__ = ["Pace", "progress"]

_SECONDS_BETWEEN_LINES = 10.0

Advance: TypeAlias = Callable[[int, bool], None]


class Pace:
    """How many texts are done, how fast, and how long the others will take."""

    def __init__(self, total: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.done = 0
        self._fresh = 0
        self._clock = clock
        self._start = clock()

    def add(self, rows: int, *, fresh: bool) -> None:
        """Count rows; those of an earlier run are done, but say nothing about the speed."""
        self.done += rows
        self._fresh += rows if fresh else 0

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    @property
    def rate(self) -> float:
        """Texts embedded per second by this run."""
        return self._fresh / self.elapsed if self.elapsed > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Seconds until the end; None while it cannot be told."""
        if self.total is None or self.rate == 0:
            return None
        return max(0, self.total - self.done) / self.rate

    def __str__(self) -> str:
        parts = [
            f"{self.done:,}" + ("" if self.total is None else f" of {self.total:,}") + " texts"
        ]
        if self.rate:
            parts.append(f"{self.rate:,.0f} texts/s")
        if self.left is not None:
            parts.append(f"{duration(self.left)} left")
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """As `1:05` or `2:01:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def progress(pace: Pace, clock: Callable[[], float] = time.monotonic) -> Iterator[Advance]:
    """Something to call after each chunk, with its rows and whether they were embedded now."""
    console = terminal(error=True)
    if not console.is_terminal:
        yield _lines(pace, clock)
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    # The status is ours: rich's own speed would count what an earlier run had done.
    columns = (SpinnerColumn(), BarColumn(), TextColumn("{task.fields[status]}"))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=pace.total, status="the model is being loaded")

        def advance(rows: int, fresh: bool) -> None:
            pace.add(rows, fresh=fresh)
            bar.update(task, completed=pace.done, status=str(pace))

        yield advance


def _lines(pace: Pace, clock: Callable[[], float]) -> Advance:
    last = clock()

    def advance(rows: int, fresh: bool) -> None:
        nonlocal last
        pace.add(rows, fresh=fresh)
        if clock() - last >= _SECONDS_BETWEEN_LINES:
            last = clock()
            say(str(pace))

    return advance
