"""Time in which the process stood still is nobody else's."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedway_gateway.layers.countdown import Countdown

# After how long, and for how long, in seconds.
Pause = tuple[float, float]


class PausedLoop(asyncio.AbstractEventLoop):
    """A loop's clock and timers, in simulated time; it stands still at `pauses`."""

    def __init__(self, pauses: list[Pause]) -> None:
        self._now = 100.0
        self._pauses = sorted((100.0 + when, seconds) for when, seconds in pauses)
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = itertools.count()

    def time(self) -> float:
        return self._now

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, object]) -> None:
        raise AssertionError(context)

    def _timer_handle_cancelled(self, _handle: asyncio.TimerHandle) -> None:
        pass

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: object
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self)
        heapq.heappush(self._timers, (when, next(self._count), handle))
        return handle

    def run(self) -> None:
        """Call what is due until nothing is."""
        while self._timers:
            when, _, handle = heapq.heappop(self._timers)
            while self._pauses and self._pauses[0][0] <= when:
                at, seconds = self._pauses.pop(0)
                self._now = max(self._now, at) + seconds
            self._now = max(self._now, when)
            if not handle.cancelled():
                handle._run()


def ended(seconds: float, pauses: list[Pause], *, until: float | None = None) -> float:
    """After how long a countdown ends."""
    loop = PausedLoop(pauses)
    calls: list[float] = []
    end = float("inf") if until is None else 100.0 + until
    Countdown(loop, seconds, lambda: calls.append(loop.time()), until=end)
    loop.run()
    [call] = calls
    return call - 100.0


def test_it_ends_after_its_seconds() -> None:
    assert 8 == pytest.approx(ended(8, []))


def test_a_pause_is_not_counted() -> None:
    # From 0.5 to 60.5; the step that ended at 1 is counted again.
    assert 60.5 + 8 == pytest.approx(ended(8, [(0.5, 60)]))


def test_a_pause_at_its_very_end_leaves_time_to_look() -> None:
    assert 7.9 + 60 + 1 == pytest.approx(ended(8, [(7.9, 60)]))


def test_it_ends_at_a_fixed_time_whatever_happened() -> None:
    assert 3 == pytest.approx(ended(8, [], until=3))
    assert 0 == pytest.approx(ended(8, [], until=-1))
    assert 5.5 == pytest.approx(ended(8, [(0.5, 5)], until=3))


def test_a_loop_that_is_always_late_does_not_wait_for_ever() -> None:
    always = [(n / 10, 0.05) for n in range(1000)]
    assert ended(1, always) < 4


@given(
    st.floats(0.001, 100),
    st.lists(st.tuples(st.floats(0, 200), st.floats(0, 100)), max_size=6),
)
def test_it_is_never_sooner_than_its_seconds_and_never_later_than_pauses_account_for(
    seconds: float, pauses: list[Pause]
) -> None:
    took = ended(seconds, pauses)

    assert took >= seconds * (1 - 1e-9)
    # A pause costs itself, and a step that is counted again.
    assert took <= (seconds + sum(it for _, it in pauses) + len(pauses) * seconds / 8) * (1 + 1e-9)


def test_one_that_was_cancelled_says_nothing() -> None:
    loop = PausedLoop([])
    calls: list[int] = []
    Countdown(loop, 1, lambda: calls.append(1)).cancel()
    loop.run()
    assert not calls
