from __future__ import annotations

import io

import pytest
from rich.console import Console

from embedway_gateway.cli import progress as module
from embedway_gateway.cli.progress import Pace, duration, progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_rate_and_time_left() -> None:
    clock = Clock()
    pace = Pace(1000, clock)
    clock.now += 10
    pace.add(250, fresh=True)

    assert (pace.rate, pace.left) == (25.0, 30.0)
    assert str(pace) == "250 of 1,000 texts, 25 texts/s, 0:30 left"


def test_resumed_rows_do_not_count_as_speed() -> None:
    clock = Clock()
    pace = Pace(1000, clock)
    pace.add(800, fresh=False)
    assert str(pace) == "800 of 1,000 texts"

    clock.now += 10
    pace.add(100, fresh=True)

    assert str(pace) == "900 of 1,000 texts, 10 texts/s, 0:10 left"


def test_without_a_total_there_is_no_time_left() -> None:
    clock = Clock()
    pace = Pace(None, clock)
    clock.now += 2
    pace.add(2500, fresh=True)

    assert str(pace) == "2,500 texts, 1,250 texts/s"


def test_more_rows_than_counted_leave_no_negative_time() -> None:
    clock = Clock()
    pace = Pace(10, clock)
    clock.now += 1
    pace.add(12, fresh=True)

    assert pace.left == 0


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3600, "1:00:00"), (360_000, "100:00:00")],
)
def test_durations(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_without_a_terminal_there_is_a_line_every_ten_seconds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    pace = Pace(1000, clock)
    with progress(pace, clock) as advance:
        for _ in range(10):
            clock.now += 3
            advance(10, True)

    assert capsys.readouterr().err.splitlines() == [
        "40 of 1,000 texts, 3 texts/s, 4:48 left",
        "80 of 1,000 texts, 3 texts/s, 4:36 left",
    ]


def test_on_a_terminal_there_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    monkeypatch.setattr(module, "terminal", lambda *, error: console)
    clock = Clock()
    with progress(Pace(1000, clock), clock) as advance:
        clock.now += 10
        advance(250, True)

    assert "250 of 1,000 texts, 25 texts/s, 0:30 left" in screen.getvalue()
    assert "━" in screen.getvalue()
