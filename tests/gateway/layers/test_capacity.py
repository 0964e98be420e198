"""What one upstream is found to take at once: by time, by refusals, and again more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedway_gateway.layers.bound import Bounds
from embedway_gateway.layers.capacity import Capacity, Load, Window
from embedway_gateway.layers.speed import Speed


def test_nothing_is_bounded_before_anything_is_known() -> None:
    capacity = Capacity(Bounds(max_inputs=32), seconds=60)

    assert Bounds(max_inputs=32) == capacity.firm
    assert Bounds() == capacity.seen


def test_a_slow_call_bounds_the_next_ones_to_half_of_the_time() -> None:
    capacity = Capacity(seconds=60)
    capacity.answered(Load(10, 1000), 20.0)

    assert 1500 == capacity.seen.max_text


def test_a_call_without_an_answer_was_at_least_that_slow() -> None:
    capacity = Capacity(seconds=60)

    assert capacity.timed_out(Load(100, 1000), 60.0)
    assert 500 == capacity.seen.max_text


@pytest.mark.parametrize(("load", "seconds"), [(Load(1, 1000), 60.0), (Load(9, 1000), 0.2)])
def test_fewer_texts_are_no_cure_for_one_text_or_a_quick_no(load: Load, seconds: float) -> None:
    assert not Capacity(seconds=60).timed_out(load, seconds)


@pytest.mark.parametrize("load", [Load(1, 5), Load(2, 10)])
def test_short_calls_that_are_quick_never_bound(load: Load) -> None:
    capacity = Capacity(seconds=60)
    for _ in range(50):
        capacity.answered(load, 0.2)

    assert Bounds() == capacity.seen


def test_one_text_that_waited_long_does_not_bound() -> None:
    capacity = Capacity(seconds=60)
    capacity.answered(Load(1, 5), 25.0)

    assert Bounds() == capacity.seen


def test_a_hiccup_is_forgotten_after_a_few_calls() -> None:
    capacity = Capacity(seconds=60)
    capacity.answered(Load(2, 10), 5.0)
    assert 60 == capacity.seen.max_text
    for _ in range(5):
        capacity.answered(Load(1, 2000), 0.1)

    assert (capacity.seen.max_text or 0) > 32 * 1000


@given(st.lists(st.tuples(st.integers(1, 10**6), st.floats(0.01, 60)), min_size=1, max_size=30))
def test_speed_is_between_the_best_and_the_worst_that_was_seen(
    calls: list[tuple[int, float]],
) -> None:
    speed = Speed(noticeable=0.0)
    for size, seconds in calls:
        speed.took(size, seconds, texts=2)

    costs = [seconds / size for size, seconds in calls]
    assert speed.seconds_per_byte is not None
    assert min(costs) * 0.999 <= speed.seconds_per_byte <= max(costs) * 1.001
    assert speed.seconds_per_byte >= costs[-1] * 0.999 or len(calls) > 1


def test_speed_takes_the_worse_at_once_and_the_better_slowly() -> None:
    speed = Speed(noticeable=1.0)
    speed.took(100, 10.0, texts=2)
    speed.took(100, 20.0, texts=2)
    assert 0.2 == speed.seconds_per_byte
    speed.took(100, 5.0, texts=2)

    assert pytest.approx(23 / 190) == speed.seconds_per_byte


def test_a_limit_that_is_told_holds_from_then_on() -> None:
    capacity = Capacity(Bounds(max_inputs=64, max_bytes=9999))
    capacity.too_large(Load(33, 500), 32)
    capacity.too_large(Load(50, 500), 48)

    assert Bounds(max_inputs=32, max_bytes=9999) == capacity.firm
    assert Bounds() == capacity.seen


@pytest.mark.parametrize("limit", [None, 0, 33, 99])
def test_a_limit_that_is_not_told_is_looked_for_by_halving(limit: int | None) -> None:
    capacity = Capacity()
    capacity.too_large(Load(33, 500), limit)

    assert Bounds() == capacity.firm
    assert Bounds(max_text=250) == capacity.seen


def test_one_text_says_nothing_of_a_batch() -> None:
    capacity = Capacity()
    capacity.too_large(Load(1, 500), None)
    capacity.limited(Load(1, 500), bandwidth=True)
    capacity.limited(Load(1, 500), bandwidth=False)

    assert Bounds() == capacity.seen


def test_bandwidth_halves_texts_and_bytes_at_once() -> None:
    capacity = Capacity()
    for _ in range(16):
        capacity.limited(Load(32, 6400), bandwidth=True)

    assert Bounds(max_inputs=16, max_text=3200) == capacity.seen


def test_an_engine_halves_the_batch_only_when_it_refuses_again() -> None:
    capacity = Capacity()
    capacity.limited(Load(32, 6400), bandwidth=False)
    capacity.answered(Load(32, 6400), 0.1)
    capacity.limited(Load(32, 6400), bandwidth=False)
    assert Bounds() == capacity.seen
    capacity.limited(Load(32, 6400), bandwidth=False)

    assert Bounds(max_inputs=16) == capacity.seen


def test_a_window_grows_slowly_and_only_when_it_is_used() -> None:
    window = Window()
    window.grow(100)
    assert window.most is None
    window.shrink(64)
    window.grow(16)
    assert 32 == window.most
    for _ in range(5):
        window.grow(32)
    assert 42 == window.most


@given(st.integers(1, 10**6))
def test_a_window_is_never_shut(used: int) -> None:
    window = Window()
    for _ in range(30):
        window.shrink(window.most or used)

    assert 1 == window.most
